//! In-process Sigstore.
