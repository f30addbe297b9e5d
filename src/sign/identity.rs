//! Where the identity token comes from.
//!
//! The caller says what it found in its arguments and its environment; [`TokenSource::choose`] picks one
//! place, and [`TokenSource::resolve`] asks it. Another kind of workload is one more variant.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::ambient::{self, Platform, Projected};
use super::google::Google;
use super::service::{self, Call, Service};
use super::sign_in::SignIn;
use super::spiffe::WorkloadApi;
use super::token::{AUDIENCE, MAX_TOKEN_BYTES, Token, bad};
use super::token_file::{read, text};
use crate::error::Result;
use crate::files::reading;
use crate::net;

/// How a JWT begins: `{"` in base64url.
const JWT_START: &str = "eyJ";
/// The longest name of a file that does not exist, in bytes, that a message repeats: tokens are longer.
const MAX_SHOWN_NAME: usize = 32;
/// Where a GitHub workflow asks for the permission to have a token.
const GITHUB_PERMISSION: &str = "permissions: { id-token: write }";

/// What is looked at, in order.
const LOOKED_AT: &str = "looked at --identity-token, SIGSTORE_ID_TOKEN, GitHub Actions, GitLab CI, Buildkite, CircleCI, projected files, SPIFFE and Google Cloud";

/// How a GitLab job asks for a token.
const GITLAB_TOKEN: &str = "id_tokens: { SIGSTORE_ID_TOKEN: { aud: sigstore } }";

/// What a run was given: the arguments and the environment, read by the caller.
#[derive(Default)]
pub struct Offered {
    /// The value of `--identity-token`: a file, `-`, or (not recommended) the token itself.
    pub argument: Option<Zeroizing<String>>,
    /// Standard input, read (bounded) by the caller when the argument is `-`.
    pub stdin: Option<Zeroizing<Vec<u8>>>,
    /// `SIGSTORE_ID_TOKEN`.
    pub environment: Option<Zeroizing<String>>,
    /// Whether this is a job of GitHub Actions (`GITHUB_ACTIONS` is `true`).
    pub in_github_actions: bool,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub request_url: Option<String>,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub request_token: Option<Zeroizing<String>>,
    /// Whether this is a job of GitLab CI (`GITLAB_CI` is `true`).
    pub in_gitlab_ci: bool,
    /// The platform whose job this is, and where its command lies, if it was found.
    pub platform: Option<(Platform, Option<PathBuf>)>,
    /// Files that exist and into which platforms put tokens, in the order in which they are tried.
    pub projected: Vec<Projected>,
    /// The SPIFFE agent of this machine (`SPIFFE_ENDPOINT_SOCKET`).
    pub spiffe: Option<Result<WorkloadApi>>,
    /// Google Cloud, where something says that this is a workload of it.
    pub google: Option<Result<Google>>,
    /// A person who can be asked to sign in, or why the place to do so cannot be used.
    pub person: Option<Result<SignIn>>,
    /// Why nobody can be asked to sign in, if so.
    pub nobody: Option<String>,
    /// Whether nothing but the argument and a person was looked at.
    pub without_ambient: bool,
    /// Whom the token has to be meant for, if not [`AUDIENCE`].
    pub audience: Option<String>,
}

/// The place that the token comes from.
pub enum TokenSource {
    /// `SIGSTORE_ID_TOKEN`.
    Environment(Zeroizing<String>),
    /// A file, read each time that a token is needed: some platforms rotate it.
    File(PathBuf),
    /// The identity service of a GitHub Actions job.
    GitHubActions {
        /// Where to ask, with its query.
        url: Url,
        /// What to ask with.
        request_token: Zeroizing<String>,
    },
    /// A platform's own command.
    Command(Platform, PathBuf),
    /// A file into which a platform puts tokens for Sigstore.
    Projected(Projected),
    /// The SPIFFE agent of this machine.
    Spiffe(WorkloadApi),
    /// The metadata server of Google Cloud.
    Google(Google),
    /// A person who signs in.
    SignIn(Box<SignIn>),
    /// The token itself, in the arguments, where others can see it.
    Literal(Zeroizing<String>),
    /// Standard input.
    Stdin(Zeroizing<String>),
}

impl TokenSource {
    /// Picks the place: the argument, then the environment, then the platform.
    ///
    /// # Errors
    /// Usage (`bad-token`), when there is none, with a hint that shows where one could be given; or a
    /// platform's values that cannot be used.
    pub fn choose(offered: Offered) -> Result<Self> {
        if let Some(argument) = offered.argument {
            return Self::from_argument(argument, offered.stdin);
        }
        if let Some(token) = offered.environment {
            return Ok(Self::Environment(token));
        }
        let mut offered = offered;
        match (offered.request_url.take(), offered.request_token.take()) {
            (Some(url), Some(request_token)) => {
                // Not shown when it is refused: the platform decides what it holds.
                let url = service::parse_url(&url).map_err(|_| {
                    bad("ACTIONS_ID_TOKEN_REQUEST_URL is not the https address of an issuer")
                })?;
                Ok(Self::GitHubActions { url, request_token })
            }
            _ if offered.in_github_actions => {
                Err(bad("no identity token: this GitHub Actions job may not have one")
                    .hint(GITHUB_PERMISSION))
            }
            _ if offered.in_gitlab_ci => {
                Err(bad("no identity token: this GitLab CI job asks for none").hint(GITLAB_TOKEN))
            }
            _ => Self::of_platform(offered),
        }
    }

    fn of_platform(offered: Offered) -> Result<Self> {
        let audience = offered.audience.as_deref().unwrap_or(AUDIENCE);
        let (platform, projected) = (offered.platform, &offered.projected);
        match platform {
            Some((platform, Some(program))) => Ok(Self::Command(platform, program)),
            Some((platform, None)) => Err(bad(format!(
                "no identity token: {} gives one by a command that is not there",
                platform.name()
            ))
            .cause(format!("{} is not in PATH", platform.program()))),
            None => {
                let unprojected = match ambient::projected(projected, audience) {
                    Ok(file) => return Ok(Self::Projected(file)),
                    Err(error) => error,
                };
                if let Some(agent) = offered.spiffe {
                    return agent.map(Self::Spiffe);
                }
                if let Some(google) = offered.google {
                    return google.map(Self::Google);
                }
                if let Some(person) = offered.person {
                    return person.map(|person| Self::SignIn(Box::new(person)));
                }
                if !projected.is_empty() {
                    return Err(unprojected);
                }
                let error =
                    bad("no identity token was given").cause(match offered.without_ambient {
                        true => "looked at --identity-token only",
                        false => LOOKED_AT,
                    });
                let error = match offered.nobody {
                    Some(why) => error.line("sign-in", format!("nobody can be asked: {why}")),
                    None => error,
                };
                Err(error.hint("--identity-token FILE, or SIGSTORE_ID_TOKEN in the environment"))
            }
        }
    }

    fn from_argument(
        argument: Zeroizing<String>,
        stdin: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Self> {
        if argument.as_str() == "-" {
            let bytes = stdin.unwrap_or_default();
            return text(&bytes).map(Self::Stdin);
        }
        let path = Path::new(argument.as_str());
        // What begins as every JWT does was meant to be one, whole or not: as the name of a file that
        // cannot be opened it would be shown.
        let looks_like_a_token = argument.trim_start().starts_with(JWT_START);
        if !path.exists() {
            if looks_like_a_token || Token::parse(&argument).is_ok() {
                return Ok(Self::Literal(argument));
            }
            // Messages repeat a path, and this may be a secret of another kind.
            if !argument.contains(['/', '\\', '.']) && argument.len() > MAX_SHOWN_NAME {
                return Err(bad("--identity-token is neither a file nor an identity token"));
            }
        }
        Ok(Self::File(path.to_path_buf()))
    }

    /// Names the place for a message; never the token.
    pub fn label(&self) -> String {
        match self {
            Self::Environment(_) => "SIGSTORE_ID_TOKEN".to_owned(),
            Self::Command(platform, _) => platform.name().to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Spiffe(agent) => agent.label(),
            Self::Google(google) => google.label(),
            Self::SignIn(person) => person.label(),
            Self::Projected(file) => format!("{} ({})", file.path.display(), file.by),
            Self::GitHubActions { .. } => "GitHub Actions".to_owned(),
            Self::Literal(_) => "--identity-token".to_owned(),
            Self::Stdin(_) => "standard input".to_owned(),
        }
    }

    /// Whether the token stood in the arguments, which deserves a warning.
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// Whether a person is asked, who takes time.
    pub fn asks_a_person(&self) -> bool {
        matches!(self, Self::SignIn(_))
    }

    /// Whether asking again may give a younger token.
    pub(super) fn renews(&self) -> bool {
        match self {
            Self::Command(..)
            | Self::File(_)
            | Self::GitHubActions { .. }
            | Self::Google(_)
            | Self::Spiffe(_)
            | Self::SignIn(_)
            | Self::Projected(_) => true,
            Self::Environment(_) | Self::Literal(_) | Self::Stdin(_) => false,
        }
    }

    /// Gets the token; where it can be asked for, for `audience`. It is parsed, not checked ([`Token::check`]).
    ///
    /// # Errors
    /// Usage: a file that cannot be opened, or (`bad-token`) no token in it, or a platform that refuses
    /// to issue one; undecided, when the platform does not answer.
    pub async fn resolve(&self, net: &net::Client, audience: &str) -> Result<Token> {
        match self {
            Self::Environment(token) | Self::Literal(token) | Self::Stdin(token) => {
                Token::parse(token)
            }
            Self::Command(platform, program) => platform.ask(program, audience).await,
            Self::File(path) | Self::Projected(Projected { path, .. }) => {
                let file = path.clone();
                reading(&[path], move || read(&file).and_then(|text| Token::parse(&text))).await
            }
            Self::Spiffe(agent) => agent.ask(audience).await,
            Self::Google(google) => google.ask(net, audience).await,
            Self::SignIn(person) => person.ask(net).await,
            Self::GitHubActions { url, request_token } => {
                ask_github(net, url, request_token, audience).await
            }
        }
        .map_err(|error| error.on(self.label()))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSource({})", self.label())
    }
}

/// The token of this GitHub Actions job (GitHub's documentation, "About security hardening with OpenID
/// Connect", methods for requesting the token).
async fn ask_github(
    net: &net::Client,
    url: &Url,
    request_token: &str,
    audience: &str,
) -> Result<Token> {
    #[derive(Deserialize)]
    struct Issued {
        value: String,
    }
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("audience", audience);
    let service = Service { net, what: "cannot get an identity token" };
    let answer = service
        // The token may be as long as it likes within its bound, and JSON adds its own.
        .send(Call { bearer: Some(request_token), ..Call::new(&url, 2 * MAX_TOKEN_BYTES) })
        .await?;
    match answer.status {
        200 => {}
        400..=403 => {
            return Err(bad("GitHub Actions refused to issue an identity token")
                .cause(format!("{}: {}", service::place(&url), answer.status))
                .hint(GITHUB_PERMISSION));
        }
        _ => return Err(service.refused(&answer)),
    }
    let issued: Issued = serde_json::from_slice(&answer.body)
        .map_err(|_| service.malformed(&url, "its answer holds no token"))?;
    Token::parse(&Zeroizing::new(issued.value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::{Class, Reason};
    use crate::net::testing::{Server, client, reply};
    use crate::sign::testing::{ISSUER, token};

    fn secret(text: &str) -> Option<Zeroizing<String>> {
        Some(Zeroizing::new(text.to_owned()))
    }

    fn in_job(url: &str) -> Offered {
        Offered {
            in_github_actions: true,
            request_url: Some(url.to_owned()),
            request_token: secret("runner"),
            ..Offered::default()
        }
    }

    #[test]
    fn the_argument_goes_before_the_environment_before_the_platform() {
        let mut offered = in_job("https://actions.example/token?v=1");
        assert_eq!(
            TokenSource::choose(in_job("https://a.example/")).unwrap().label(),
            "GitHub Actions"
        );
        offered.environment = secret("e");
        offered.argument = secret("/no/such/file");
        assert_eq!(TokenSource::choose(offered).unwrap().label(), "/no/such/file");
        let mut offered = in_job("https://actions.example/");
        offered.environment = secret("e");
        assert_eq!(TokenSource::choose(offered).unwrap().label(), "SIGSTORE_ID_TOKEN");
    }

    #[test]
    fn a_platforms_command_goes_before_projected_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, token()).unwrap();
        let projected = vec![Projected { by: "x", path }];
        let platform = Some((Platform::Buildkite, Some(PathBuf::from("/bin/agent"))));
        let offered = Offered { platform, projected: projected.clone(), ..Offered::default() };
        assert_eq!(TokenSource::choose(offered).unwrap().label(), "Buildkite");
        let offered = Offered { projected, ..Offered::default() };
        assert!(matches!(TokenSource::choose(offered), Ok(TokenSource::Projected(_))));
    }

    #[test]
    fn says_where_a_token_could_come_from() {
        let error = TokenSource::choose(Offered::default()).unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Usage, Reason::BadToken));
        let hint = error.hint.unwrap();
        assert!(hint.contains("--identity-token FILE") && hint.contains("SIGSTORE_ID_TOKEN"));

        let offered = Offered { in_github_actions: true, ..Offered::default() };
        let error = TokenSource::choose(offered).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some(GITHUB_PERMISSION));
        let offered = Offered { in_gitlab_ci: true, ..Offered::default() };
        let error = TokenSource::choose(offered).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some(GITLAB_TOKEN));
        let platform = Some((Platform::CircleCi, None));
        let error = TokenSource::choose(Offered { platform, ..Offered::default() }).unwrap_err();
        assert!(error.to_string().contains("circleci is not in PATH"), "{error}");
    }

    #[test]
    fn the_platform_may_not_send_its_secret_over_plain_http() {
        for url in ["http://actions.example/token", "ftp://actions.example/", "actions"] {
            let error = TokenSource::choose(in_job(url)).unwrap_err();
            assert_eq!(error.reason, Reason::BadToken);
        }
        TokenSource::choose(in_job("http://127.0.0.1:1/token")).unwrap();
    }

    #[tokio::test]
    async fn reads_a_token_from_each_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, format!("{}\n", token())).unwrap();
        let path = file.to_str().unwrap();
        for (offered, label, literal) in [
            (Offered { argument: secret(path), ..Offered::default() }, path, false),
            (
                Offered {
                    argument: secret("-"),
                    stdin: Some(Zeroizing::new(token().into_bytes())),
                    ..Offered::default()
                },
                "standard input",
                false,
            ),
            (
                Offered { argument: secret(&token()), ..Offered::default() },
                "--identity-token",
                true,
            ),
            (
                Offered { environment: secret(&token()), ..Offered::default() },
                "SIGSTORE_ID_TOKEN",
                false,
            ),
        ] {
            let source = TokenSource::choose(offered).unwrap();
            assert_eq!((source.label().as_str(), source.is_literal()), (label, literal));
            assert_eq!(source.resolve(&client(), AUDIENCE).await.unwrap().issuer(), ISSUER);
            assert_eq!(format!("{source:?}"), format!("TokenSource({label})"));
        }
    }

    #[tokio::test]
    async fn refuses_files_that_hold_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            TokenSource::File(path)
        };
        for (source, words) in [
            (TokenSource::File(dir.path().join("absent")), "cannot open"),
            (TokenSource::File(dir.path().to_path_buf()), "cannot open"),
            (file("empty", b" \n"), "is empty"),
            (file("binary", b"\xff\xfe"), "not text"),
            (file("long", &vec![b'a'; MAX_TOKEN_BYTES + 2]), "longer than"),
        ] {
            let error = source.resolve(&client(), AUDIENCE).await.unwrap_err();
            assert!(error.to_string().contains(words), "{error} lacks {words:?}");
            assert_eq!((error.class, error.object), (Class::Usage, source.label()));
        }
        assert!(
            TokenSource::choose(Offered { argument: secret("-"), ..Offered::default() })
                .unwrap()
                .resolve(&client(), AUDIENCE)
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn asks_github_for_the_audience_of_sigstore() {
        let server = Server::start(|_, _| {
            reply(200, &[], json!({"count": 1, "value": token()}).to_string())
        })
        .await;
        let url = server.url("/token?api-version=2.0");
        let source = TokenSource::choose(in_job(url.as_str())).unwrap();
        assert_eq!(source.resolve(&client(), AUDIENCE).await.unwrap().issuer(), ISSUER);
        let [seen] = server.seen().try_into().unwrap();
        assert_eq!(seen.line(), "GET /token?api-version=2.0&audience=sigstore");
        assert_eq!(seen.header("authorization"), Some("Bearer runner"));
    }

    #[tokio::test]
    async fn says_what_github_did_not_give() {
        for (status, body, class, reason, words) in [
            (403, String::new(), Class::Usage, Reason::BadToken, "refused to issue"),
            (500, String::new(), Class::Undecided, Reason::ServiceUnreachable, "500"),
            (404, String::new(), Class::Undecided, Reason::ServiceUnreachable, "404"),
            (200, "{}".to_owned(), Class::Undecided, Reason::Malformed, "holds no token"),
            (200, json!({"value": "x"}).to_string(), Class::Usage, Reason::BadToken, "three parts"),
            (200, "9".repeat(200 << 10), Class::Undecided, Reason::LimitReached, "token"),
        ] {
            let server = Server::start(move |_, _| reply(status, &[], &body)).await;
            let source = TokenSource::choose(in_job(server.url("/token?secret").as_str())).unwrap();
            let error = source.resolve(&client(), AUDIENCE).await.unwrap_err();
            assert_eq!((error.class, error.reason), (class, reason), "{error}");
            assert!(error.to_string().contains(words), "{error} lacks {words:?}");
            assert!(!format!("{error:?}").contains("runner"));
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
