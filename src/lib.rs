//! Sign and verify Helm charts in OCI registries with Sigstore.
//!
//! The library carries the capability, the binary `helm-sigstore` (as the Helm plugin `sigstore`:
//! `helm sigstore`) is a thin rim around it. There are two straight paths, and every command is one of them:
//!
//! * **sign**: parse what the user typed, resolve it to one manifest, make one statement over everything the
//!   chart is called by, get a certificate for the user's identity, sign, timestamp, log, verify our own
//!   bundle, attach it, report;
//! * **verify**: parse, resolve to one manifest, discover bundles, verify each until one meets the policy,
//!   decide, report.
//!
//! No step calls back, and nothing below [`cli`] knows that there is a command line.
//!
//! # The rooms
//!
//! | room | holds | may touch |
//! |---|---|---|
//! | [`chart`] | references, manifests, archives, Helm's version rules | nothing: bytes and text in, facts out |
//! | [`verify`] | statements, bundles, policies, and the one [`verify::Verifier`] | nothing: bytes, trust and time in, verdict out |
//! | [`consumer`] | who verifies charts besides us: their configuration, and what they accept | nothing |
//! | [`error`] | what failed, on what, why, and what to do | nothing |
//! | [`net`] | the one HTTP client: bounds, redirects, origins, retries | the network |
//! | [`registry`] | the OCI distribution protocol, with credentials | `net`, credential files and helpers |
//! | [`store`] | where signatures live: referrers, fallback tag, cosign's tag, files | `registry`, bundle files |
//! | [`trust`] | the trusted root and the signing config, by TUF or from files | `net`, their files, a cache |
//! | [`sign`] | from a statement to a bundle: token and certificate, or a key; timestamp, log | `net`; for a token also commands, a browser and sockets of this machine |
//! | [`run`] | the two paths, and the report as data | all of these |
//! | [`cli`] | arguments, environment, words, JSON, the exit code | the streams it is given |
//!
//! Imports go one way, `main -> cli -> run -> {sign, store, trust} -> registry -> net`; `chart`, `verify`
//! and `error` may be imported by anyone. `tests/architecture.rs` holds this.
//!
//! # Promises
//!
//! * A [`verify::Verified`] can be built only by the [`verify::Verifier`], and every format goes through it:
//!   there is no second path to a yes.
//! * A verdict is a failure until a signature has proved otherwise. Unreachable, malformed, too much and
//!   a panic are *undecided*, and differ from *unsigned* and *refused* in type, words and exit code.
//! * A tag is resolved once. After that everything goes by digest, and every digest is checked against the
//!   bytes.
//! * Every read, list, retry and wait has a bound.
//! * Nothing becomes public before it can be finished: write access is proved before a certificate is asked
//!   for, and the bundle is judged before it is logged (where there is a timestamp) and before it is attached.
//! * Credentials stay with the origin that they are for. No token and no password is in an error or in `Debug`.
//! * No unsafe code of our own.
//!
//! # What it does not do (yet)
//!
//! It knows no keys in hardware or at a cloud. It does not pull or install charts. It never runs
//! what is in a chart and never extracts one to disk.
//!
//! # Use as a library
//!
//! The parts can be used by themselves; [`verify::Verifier`] takes bytes, trust and the time:
//!
//! ```
//! use helm_sigstore::trust::{self, Source};
//! use helm_sigstore::verify::{Bundle, Verifier};
//!
//! # fn main() -> helm_sigstore::error::Result<()> {
//! let verifier = Verifier::new(trust::trusted_root(&Source::Embedded)?);
//! let error = Bundle::parse(b"{}").unwrap_err();
//! assert_eq!(error.reason.as_str(), "malformed");
//! # let _ = verifier;
//! # Ok(())
//! # }
//! ```
//!
//! Until 1.0 the library's interface may change with any release; commands, exit codes and the JSON do not
//! change their meaning.
#![forbid(unsafe_code)]

pub mod chart;
pub mod cli;
pub mod consumer;
pub mod error;
mod files;
pub mod net;
pub mod registry;
pub mod run;
pub mod sign;
pub mod store;
pub mod trust;
pub mod verify;

pub use error::{Class, Error, Reason};
