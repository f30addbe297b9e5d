//! Which services sign for us: one of each kind, chosen from a signing config.

use std::fmt;

use jiff::Timestamp;
use sigstore_trust_root::SigningConfig;
use sigstore_trust_root::signing_config::{ServiceConfiguration, ServiceEndpoint, ServiceSelector};
use url::Url;

use super::service;
use crate::error::{Error, Result};

/// The generation of a Rekor log: its API and the kinds of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RekorVersion {
    /// `dsse` and `hashedrekord` 0.0.1, with a signed entry timestamp.
    V1,
    /// `hashedrekord` 0.0.2 only; no time of its own, so it needs a timestamp authority.
    V2,
}

impl RekorVersion {
    fn from_major(major: u32) -> Option<Self> {
        match major {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }
}

impl fmt::Display for RekorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1",
            Self::V2 => "2",
        })
    }
}

/// The transparency log that a signature is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its base URL.
    pub url: Url,
    /// Its API.
    pub version: RekorVersion,
}

/// The services of one Sigstore instance that a run uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services {
    /// The certificate authority: Fulcio's base URL.
    pub fulcio: Url,
    /// The transparency log.
    pub log: Log,
    /// The timestamp authority: the full URL that takes RFC 3161 requests. Always there for Rekor v2.
    pub timestamp: Option<Url>,
}

impl Services {
    /// Chooses the services of `config` that are valid at `now`.
    ///
    /// Where logs of both generations are offered, it is v1, whose entries more verifiers read;
    /// `rekor_version` (1 or 2) decides otherwise. A bundle of ours carries one log entry and one
    /// timestamp, so a config that demands more is refused rather than served half.
    ///
    /// # Errors
    /// Usage, when there is no authority or log to use, when several of a kind are demanded, when the
    /// log is v2 and nobody can timestamp, or when a URL is not https (loopback may be http).
    pub fn select(
        config: &SigningConfig,
        rekor_version: Option<u32>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut authorities = valid_at(&config.ca_urls, now);
        authorities.retain(|authority| authority.major_api_version == 1);
        let Some(authority) = authorities.first() else {
            return Err(unusable("it names no certificate authority that is valid now".to_owned()));
        };

        let log = select_log(config, rekor_version, now)?;
        let timestamp = select_timestamp(config, now)?;
        needs_time(&log, timestamp.as_ref())?;
        Ok(Self { fulcio: service::parse_url(&authority.url).map_err(unusable)?, log, timestamp })
    }

    /// Where people sign in, if `config` names an issuer that is valid at `now`.
    pub fn issuer(config: &SigningConfig, now: Timestamp) -> Option<String> {
        let mut issuers = valid_at(&config.oidc_urls, now);
        issuers.retain(|issuer| issuer.major_api_version == 1);
        issuers.into_iter().next().map(|issuer| issuer.url)
    }

    /// Whether certificate or log entry are public-good Sigstore's: then the identity is published to the
    /// world, and a person is asked first.
    pub fn is_public_good(&self) -> bool {
        [&self.fulcio, &self.log.url]
            .into_iter()
            .any(|url| url.host_str().is_some_and(|host| host.ends_with(".sigstore.dev")))
    }
}

/// The services that a signature by a key uses: none has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyServices {
    /// The transparency log.
    pub log: Option<Log>,
    /// The timestamp authority.
    pub timestamp: Option<Url>,
}

impl KeyServices {
    /// Chooses from `config` what is valid at `now`: the timestamp authority where one is named, and the
    /// log if the signature is to be logged.
    ///
    /// # Errors
    /// As [`Services::select`], but a certificate authority is not needed.
    pub fn select(
        config: &SigningConfig,
        rekor_version: Option<u32>,
        logged: bool,
        now: Timestamp,
    ) -> Result<Self> {
        let log = if logged { Some(select_log(config, rekor_version, now)?) } else { None };
        let timestamp = select_timestamp(config, now)?;
        if let Some(log) = &log {
            needs_time(log, timestamp.as_ref())?;
        }
        Ok(Self { log, timestamp })
    }
}

fn unusable(why: String) -> Error {
    Error::usage("signing config cannot be used").cause(why)
}

fn valid_at(endpoints: &[ServiceEndpoint], now: Timestamp) -> Vec<ServiceEndpoint> {
    endpoints.iter().filter(|endpoint| endpoint.valid_for.contains(now)).cloned().collect()
}

fn select_log(config: &SigningConfig, rekor_version: Option<u32>, now: Timestamp) -> Result<Log> {
    let mut logs = valid_at(&config.rekor_tlog_urls, now);
    logs.retain(|log| {
        RekorVersion::from_major(log.major_api_version).is_some()
            && rekor_version.is_none_or(|wanted| wanted == log.major_api_version)
    });
    // Stable, so that the order of the config decides between logs of the same generation.
    logs.sort_by_key(|log| log.major_api_version);
    let Some(log) = one(&logs, &config.rekor_tlog_config, "transparency logs").map_err(unusable)?
    else {
        return Err(unusable(match rekor_version {
            Some(version) => format!("it names no Rekor v{version} log that is valid now"),
            None => "it names no transparency log that is valid now".to_owned(),
        }));
    };
    let version = RekorVersion::from_major(log.major_api_version)
        .ok_or_else(|| unusable(format!("Rekor v{} is unknown", log.major_api_version)))?;
    Ok(Log { url: service::parse_url(&log.url).map_err(unusable)?, version })
}

fn select_timestamp(config: &SigningConfig, now: Timestamp) -> Result<Option<Url>> {
    let mut stampers = valid_at(&config.tsa_urls, now);
    stampers.retain(|stamper| stamper.major_api_version == 1);
    let stamper = one(&stampers, &config.tsa_config, "timestamp authorities").map_err(unusable)?;
    stamper.map(|stamper| service::parse_url(&stamper.url)).transpose().map_err(unusable)
}

fn needs_time(log: &Log, timestamp: Option<&Url>) -> Result<()> {
    if log.version == RekorVersion::V2 && timestamp.is_none() {
        return Err(unusable(
            "its log is Rekor v2, which keeps no time, and it names no timestamp authority that is \
             valid now"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The one service to use, or none where the config names none.
fn one<'a>(
    eligible: &'a [ServiceEndpoint],
    selection: &ServiceConfiguration,
    kind: &str,
) -> Result<Option<&'a ServiceEndpoint>, String> {
    let Some(first) = eligible.first() else { return Ok(None) };
    let demanded = match (selection.selector, selection.count) {
        (ServiceSelector::Any, _) => 1,
        (ServiceSelector::Exact, Some(count)) if count > 0 => {
            usize::try_from(count).unwrap_or(usize::MAX)
        }
        // Several URLs of one operator are the generations of one service, of which one is used.
        (ServiceSelector::All, _) => {
            let mut operators: Vec<_> =
                eligible.iter().map(|endpoint| endpoint.operator.as_deref()).collect();
            operators.sort_unstable();
            operators.dedup();
            operators.len()
        }
        _ => return Err(format!("it does not say how many {kind} to use")),
    };
    if demanded > 1 {
        return Err(format!("it demands {demanded} {kind}, and one is supported"));
    }
    Ok(Some(first))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Class;

    fn now() -> Timestamp {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    fn service(url: &str, version: u32, operator: &str) -> Value {
        json!({"url": url, "majorApiVersion": version, "operator": operator,
            "validFor": {"start": "2020-01-01T00:00:00Z"}})
    }

    fn config() -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service("https://fulcio.example", 1, "a")],
            "rekorTlogUrls": [service("https://log2.example", 2, "a"), service("https://log1.example", 1, "a")],
            "tsaUrls": [service("https://tsa.example/api/v1/timestamp", 1, "a")],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        })
    }

    fn select(config: &Value, version: Option<u32>) -> Result<Services> {
        Services::select(&SigningConfig::from_json(&config.to_string()).unwrap(), version, now())
    }

    #[test]
    fn prefers_the_first_generation_unless_told() {
        let services = select(&config(), None).unwrap();
        assert_eq!(services.log.version, RekorVersion::V1);
        assert_eq!(services.log.url.as_str(), "https://log1.example/");
        assert_eq!(services.timestamp.unwrap().path(), "/api/v1/timestamp");
        assert_eq!(select(&config(), Some(2)).unwrap().log.version, RekorVersion::V2);
    }

    #[test]
    fn takes_the_public_good_instance_from_the_embedded_config() {
        let config = sigstore_trust_root::SIGSTORE_PRODUCTION_SIGNING_CONFIG;
        let config = SigningConfig::from_json(config).unwrap();
        let services = Services::select(&config, None, now()).unwrap();
        assert!(services.is_public_good() && services.timestamp.is_some());
        let issuer = Services::issuer(&config, now());
        assert_eq!(issuer.as_deref(), Some("https://oauth2.sigstore.dev/auth"));
        let private = select(&self::config(), None).unwrap();
        assert!(!private.is_public_good());
        // A certificate of one's own in the public log is public.
        let log = Log { url: services.log.url, ..private.log.clone() };
        assert!(Services { log, ..private }.is_public_good());
    }

    #[test]
    fn refuses_configs_that_it_could_serve_only_half() {
        let mut cases = Vec::new();
        let mut case = |words: &'static str, version, change: &dyn Fn(&mut Value)| {
            let mut config = config();
            change(&mut config);
            cases.push((words, version, config));
        };
        case("no certificate authority", None, &|c| c["caUrls"] = json!([]));
        case("no certificate authority", None, &|c| c["caUrls"][0]["majorApiVersion"] = json!(9));
        case("no transparency log", None, &|c| c["rekorTlogUrls"] = json!([]));
        case("no transparency log", None, &|c| {
            c["rekorTlogUrls"] = json!([service("https://log3.example", 3, "a")]);
        });
        case("no Rekor v1 log", Some(1), &|c| {
            c["rekorTlogUrls"][1]["validFor"]["end"] = json!("2021-01-01T00:00:00Z");
        });
        case("names no timestamp authority", Some(2), &|c| c["tsaUrls"] = json!([]));
        case("names no timestamp authority", Some(2), &|c| {
            c["tsaUrls"][0]["validFor"]["start"] = json!("2030-01-01T00:00:00Z");
        });
        case("demands 2 transparency logs", None, &|c| {
            c["rekorTlogConfig"] = json!({"selector": "EXACT", "count": 2});
        });
        case("demands 2 transparency logs", None, &|c| {
            c["rekorTlogConfig"] = json!({"selector": "ALL"});
            c["rekorTlogUrls"][0]["operator"] = json!("b");
        });
        case("demands 3 timestamp authorities", None, &|c| {
            c["tsaConfig"] = json!({"selector": "EXACT", "count": 3});
        });
        case("how many transparency logs", None, &|c| {
            c["rekorTlogConfig"] = json!({"selector": "EXACT"});
        });
        case("how many timestamp authorities", None, &|c| {
            c["tsaConfig"] = json!({"selector": "SERVICE_SELECTOR_UNDEFINED"});
        });
        case("is not https", None, &|c| c["caUrls"][0]["url"] = json!("http://fulcio.example"));
        case("is no URL", None, &|c| c["tsaUrls"][0]["url"] = json!("fulcio.example"));
        for (words, version, config) in cases {
            let error = select(&config, version).unwrap_err();
            assert!(error.to_string().contains(words), "{error} lacks {words:?}");
            assert_eq!(error.class, Class::Usage);
        }
    }

    #[test]
    fn accepts_all_where_all_is_one_and_http_on_loopback() {
        let mut config = config();
        config["rekorTlogConfig"] = json!({"selector": "ALL"});
        config["tsaConfig"] = json!({"selector": "EXACT", "count": 1});
        config["caUrls"][0]["url"] = json!("http://127.0.0.1:5555");
        config["rekorTlogUrls"][1]["url"] = json!("http://localhost:3000");
        let services = select(&config, None).unwrap();
        assert_eq!(services.log.version, RekorVersion::V1);
        assert_eq!(services.fulcio.port(), Some(5555));
    }

    #[test]
    fn a_first_generation_log_does_without_a_timestamp_authority() {
        let mut config = config();
        config["tsaUrls"] = json!([]);
        assert_eq!(select(&config, None).unwrap().timestamp, None);
    }
}
