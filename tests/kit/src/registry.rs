//! In-process OCI registry.
