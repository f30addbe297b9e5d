//! From a statement to a Sigstore bundle, keyless or with a key.
//!
//! [`TokenSource`] finds the OIDC token, [`Services`] says where to go, and one [`Signer`] a run does
//! the work in the order of what can be taken back: certificate, its checks, signature, timestamp, a
//! check of what we have, and only then the public log, and a check of the whole. Nothing of it is a
//! second verifier: what a service says is compared with what we asked for here, and judged by the one
//! verifier behind [`OwnBundleCheck`].

mod ambient;
#[cfg(test)]
mod end_to_end;
mod explicit;
mod fulcio;
mod google;
mod identity;
mod key;
mod legacy;
mod rekor;
mod rekor_helm;
mod rekor_v1;
mod service;
mod services;
mod sign_in;
mod signer;
mod signing_key;
mod spiffe;
#[cfg(test)]
mod testing;
mod timestamp;
mod token;
mod token_file;

pub use ambient::{Platform, Projected};
pub use explicit::ExplicitServices;
pub use fulcio::Certificate;
pub use google::Google;
pub use identity::{Offered, TokenSource};
pub use key::{MAX_KEY_BYTES, NewKey, PrivateKey};
pub use legacy::{LegacyLayer, simple_signing};
pub use rekor_v1::{LogQuery, RekorV1};
pub use services::{KeyServices, Log, RekorVersion, Services};
pub use sign_in::{CLIENT_ID, Opener, Redirect, SIGN_IN_TIME, SignIn, Way};
pub use signer::{Content, KeyCheck, OwnBundleCheck, Signed, Signer};
pub use signing_key::SigningKey;
pub use spiffe::WorkloadApi;
pub use token::{AUDIENCE, ExpectedIdentity, ExpectedName, Token};
