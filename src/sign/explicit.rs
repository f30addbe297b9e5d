//! Services that the user names one by one, in place of those of a signing config or beside them.

use sigstore_trust_root::SigningConfig;
use sigstore_trust_root::signing_config::ServiceEndpoint;
use url::Url;

use super::service;
use crate::error::{Error, Result};

/// Services by their URLs. What is not named stays what the signing config says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplicitServices {
    /// The certificate authority: Fulcio's base URL.
    pub fulcio: Option<Url>,
    /// The transparency log: Rekor's base URL, and its generation.
    pub rekor: Option<(Url, u32)>,
    /// The timestamp authority: the full URL that takes RFC 3161 requests.
    pub timestamp: Option<Url>,
}

impl ExplicitServices {
    /// Reads the URL that a flag names.
    ///
    /// # Errors
    /// Usage: no URL, one that is not https (loopback may be http), or one with a query, a fragment or a
    /// password.
    pub fn parse_url(flag: &str, text: &str) -> Result<Url> {
        let wrong = |cause: &str| Error::usage("not the URL of a service").on(flag).cause(cause);
        let url = service::parse_url(text).map_err(|cause| wrong(&cause))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a user name and a password have no place in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("a query and a fragment have no place in it"));
        }
        Ok(url)
    }

    /// Whether any service is named.
    pub fn any(&self) -> bool {
        self.fulcio.is_some() || self.rekor.is_some() || self.timestamp.is_some()
    }

    /// Puts the named services in the place of those of `config`, or of none.
    ///
    /// # Errors
    /// Usage, never for what [`ExplicitServices::parse_url`] has read.
    pub fn over(&self, config: Option<SigningConfig>) -> Result<SigningConfig> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::usage("signing config cannot be used").cause(error.to_string())
        };
        let mut config = match config {
            Some(config) => config,
            None => {
                let empty = serde_json::json!({
                    "mediaType": sigstore_trust_root::signing_config::SIGNING_CONFIG_MEDIA_TYPE
                });
                SigningConfig::from_json(&empty.to_string()).map_err(|error| unusable(&error))?
            }
        };
        let endpoint = |url: &Url, version: u32| -> Result<Vec<ServiceEndpoint>> {
            // As long as it is named, it is in use.
            let always = serde_json::json!({
                "url": url.as_str(),
                "majorApiVersion": version,
                "validFor": { "start": "1970-01-01T00:00:00Z" },
            });
            Ok(vec![serde_json::from_value(always).map_err(|error| unusable(&error))?])
        };
        if let Some(url) = &self.fulcio {
            config.ca_urls = endpoint(url, 1)?;
        }
        if let Some((url, version)) = &self.rekor {
            config.rekor_tlog_urls = endpoint(url, *version)?;
            config.rekor_tlog_config = Default::default();
        }
        if let Some(url) = &self.timestamp {
            config.tsa_urls = endpoint(url, 1)?;
            config.tsa_config = Default::default();
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::{RekorVersion, Services};
    use super::*;
    use crate::error::Class;

    fn url(text: &str) -> Url {
        ExplicitServices::parse_url("--x", text).unwrap()
    }

    #[test]
    fn what_is_named_takes_the_place_of_what_the_config_says_and_of_nothing_else() {
        let config = sigstore_trust_root::SIGSTORE_PRODUCTION_SIGNING_CONFIG;
        let config = SigningConfig::from_json(config).unwrap();
        let usual = Services::select(&config, None, Timestamp::now()).unwrap();
        let explicit = ExplicitServices {
            rekor: Some((url("http://127.0.0.1:3003"), 2)),
            ..ExplicitServices::default()
        };
        let config = explicit.over(Some(config)).unwrap();
        let services = Services::select(&config, None, Timestamp::now()).unwrap();
        assert_eq!((&services.fulcio, &services.timestamp), (&usual.fulcio, &usual.timestamp));
        assert_eq!(services.log.url.as_str(), "http://127.0.0.1:3003/");
        assert_eq!(services.log.version, RekorVersion::V2);
    }

    #[test]
    fn without_a_config_everything_has_to_be_named() {
        let all = ExplicitServices {
            fulcio: Some(url("https://fulcio.example")),
            rekor: Some((url("https://rekor.example"), 1)),
            timestamp: None,
        };
        let select = |explicit: &ExplicitServices| {
            Services::select(&explicit.over(None).unwrap(), None, Timestamp::now())
        };
        assert_eq!(select(&all).unwrap().timestamp, None);
        for lacking in [
            ExplicitServices { fulcio: None, ..all.clone() },
            ExplicitServices { rekor: None, ..all.clone() },
            ExplicitServices { rekor: Some((url("https://rekor.example"), 2)), ..all },
        ] {
            assert_eq!(select(&lacking).unwrap_err().class, Class::Usage);
        }
    }

    #[test]
    fn a_url_of_a_service_is_https_or_on_this_machine_and_holds_no_secret() {
        for text in [
            "http://a.example",
            "a.example",
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a/?x",
            "",
        ] {
            let error = ExplicitServices::parse_url("--fulcio-url", text).unwrap_err();
            assert_eq!(error.class, Class::Usage, "{text}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }
}
