//! Content digests: `sha256:` and 64 lower-case hexadecimal digits (OCI image specification, descriptor).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// A SHA-256 digest, the only algorithm that charts, registries and Sigstore have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Parses `sha256:HEX`.
    ///
    /// # Errors
    /// A usage error that names what is wrong; where the text came off the wire, the caller says
    /// whose answer was malformed.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((algorithm, hex)) = text.split_once(':') else {
            let error = Error::usage("not a digest").cause("a digest reads sha256:HEX");
            return Err(match Self::from_hex(text) {
                Some(digest) => error.hint(digest.to_string()),
                None => error,
            });
        };
        if algorithm != "sha256" {
            let algorithm: String = algorithm.chars().take(32).collect();
            return Err(Error::usage("unsupported digest algorithm")
                .cause(format!("{algorithm:?} is not sha256, the only one supported")));
        }
        Self::from_hex(hex).ok_or_else(|| {
            Error::usage("not a digest")
                .cause("sha256: must be followed by 64 lower-case hexadecimal digits")
        })
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*sigstore_crypto::sha256(bytes).as_bytes())
    }

    /// A digest that was computed elsewhere, for example while streaming.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 lower-case hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    fn from_hex(hex: &str) -> Option<Self> {
        // One digest has one spelling: it is compared and signed as text elsewhere.
        if hex.len() != 64 || hex.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_what_it_prints() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(Digest::parse(EMPTY).unwrap(), digest);
        assert_eq!(digest.hex(), EMPTY.trim_start_matches("sha256:"));
        assert_eq!(Digest::from_bytes(digest.bytes()), digest);
        assert_eq!(format!("{digest:?}"), EMPTY);
    }

    #[test]
    fn travels_through_json_as_text() {
        let json = serde_json::to_string(&Digest::of(b"")).unwrap();
        assert_eq!(json, format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), Digest::of(b""));
        assert!(serde_json::from_str::<Digest>("\"sha256:00\"").is_err());
    }

    #[test]
    fn refuses_everything_else() {
        let hex = EMPTY.trim_start_matches("sha256:");
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:00",
            hex,
            &format!("{EMPTY}0"),
            &EMPTY.to_uppercase(),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("sha256: {}", hex),
            &format!("sha256:{}é", &hex[2..]),
            &format!("sha256:+{}", &hex[1..]),
            &format!(" {EMPTY}"),
            &format!("SHA256:{hex}"),
            &format!("sha512:{hex}{hex}"),
        ] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
        assert!(Digest::parse("sha512:00").unwrap_err().what.contains("algorithm"));
        assert_eq!(Digest::parse(hex).unwrap_err().hint.as_deref(), Some(EMPTY));
    }
}
