//! What can go wrong inside the kit itself.

use std::fmt;

/// The kit could not do its work: no port, no randomness, or an encoding failed.
///
/// What a client does wrong is never this; it is answered over HTTP as the real service answers it.
#[derive(Debug)]
pub struct Error(String);

/// The kit's own result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

macro_rules! convert {
    ($($from:ty => $what:literal),* $(,)?) => {$(
        impl From<$from> for Error {
            fn from(error: $from) -> Self {
                Self(format!(concat!($what, ": {}"), error))
            }
        }
    )*};
}

convert! {
    std::io::Error => "input or output failed",
    der::Error => "invalid DER",
    spki::Error => "invalid public key",
    serde_json::Error => "invalid JSON",
    base64::DecodeError => "invalid base64",
    hex::FromHexError => "invalid hexadecimal",
    pem::PemError => "invalid PEM",
    aws_lc_rs::error::Unspecified => "cryptography refused",
    aws_lc_rs::error::KeyRejected => "key rejected",
    std::str::Utf8Error => "invalid UTF-8",
}
