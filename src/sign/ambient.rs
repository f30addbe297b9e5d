//! Tokens of the platform that a run finds itself on: from its own command, or from the files that it
//! projects into a workload.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::token::{MAX_TOKEN_BYTES, Token, bad};
use super::token_file::{read, text};
use crate::error::{Class, Error, Reason, Result};

/// How long a platform's command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A platform that gives tokens by a command of its own. Nothing secret stands in the arguments: the
/// command finds what it needs in the environment that it inherits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A job of Buildkite (`buildkite-agent oidc request-token`).
    Buildkite,
    /// A job of CircleCI (`circleci run oidc get`). The tokens in its environment (`CIRCLE_OIDC_TOKEN_V2`) are
    /// meant for the organisation itself, so that one for Sigstore has to be asked for.
    CircleCi,
}

impl Platform {
    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buildkite => "Buildkite",
            Self::CircleCi => "CircleCI",
        }
    }

    /// The command that gives the token.
    pub fn program(self) -> &'static str {
        match self {
            Self::Buildkite => "buildkite-agent",
            Self::CircleCi => "circleci",
        }
    }

    fn arguments(self, audience: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Buildkite => &["oidc", "request-token", "--audience", audience],
            Self::CircleCi => &["run", "oidc", "get", "--root-issuer", "--claims"],
        };
        let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if self == Self::CircleCi {
            words.push(serde_json::json!({"aud": audience}).to_string());
        }
        words
    }

    /// Asks the command at `program` for a token for `audience`.
    ///
    /// # Errors
    /// Usage (`bad-token`), when it cannot be run, says no, or prints no token; undecided, when it does
    /// not end in time or prints without end.
    pub(super) async fn ask(self, program: &Path, audience: &str) -> Result<Token> {
        let arguments = self.arguments(audience);
        let command = format!("{} {}", self.program(), arguments.join(" "));
        let failed = |why: String| bad("no identity token was given").cause(why);
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("{command} cannot be run: {}", error.kind())))?;
        let mut output = Zeroizing::new(Vec::new());
        let work = async {
            if let Some(stdout) = child.stdout.take() {
                // One byte more than a token may have, so that more is noticed.
                stdout.take(MAX_TOKEN_BYTES as u64 + 1).read_to_end(&mut output).await?;
            }
            if output.len() > MAX_TOKEN_BYTES {
                return Ok(None);
            }
            child.wait().await.map(Some)
        };
        let open = |why: String| {
            Error::new(Class::Undecided, Reason::ServiceUnreachable, "no identity token was given")
                .cause(why)
        };
        let status = tokio::time::timeout(COMMAND_TIMEOUT, work)
            .await
            .map_err(|_| open(format!("{command} did not end in {} s", COMMAND_TIMEOUT.as_secs())))?
            .map_err(|error| open(format!("{command}: {}", error.kind())))?
            .ok_or_else(|| open(format!("{command} printed more than {MAX_TOKEN_BYTES} bytes")))?;
        if !status.success() {
            return Err(failed(format!("{command} failed: {status}")));
        }
        text(&output).and_then(|text| Token::parse(&text))
    }
}

/// A file into which a platform may put a token, and what told us of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projected {
    /// The variable that names the file, or whose convention it is.
    pub by: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// The first of these files that holds a token for `audience`. Platforms project tokens for many purposes;
/// those for others are passed over, and never sent.
///
/// # Errors
/// Usage (`bad-token`), when none does, with what was found in each.
pub(super) fn projected(files: &[Projected], audience: &str) -> Result<Projected> {
    let mut error = bad("no identity token for Sigstore is projected");
    for file in files {
        // Platforms project ordinary files; what waits for somebody to write would hold us up.
        let odd = file.path.metadata().is_ok_and(|found| !found.is_file());
        let text = match odd {
            true => Err(bad("no regular file")),
            false => read(&file.path),
        };
        let found = match text.and_then(|text| Token::parse(&text)) {
            Ok(token) if token.is_for(audience) => return Ok(file.clone()),
            Ok(token) => format!("a token for the audience {}", token.audience()),
            Err(error) => error.what,
        };
        error = error.line("found", format!("{} ({}): {found}", file.path.display(), file.by));
    }
    Err(error.hint(format!(
        "project a token for the audience {audience}, and name it by --identity-token FILE"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::testing::{ISSUER, token};
    use crate::sign::token::AUDIENCE;

    #[cfg(unix)]
    fn program(script: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        helm_sigstore_kit::program::write(&path, script);
        (directory, path)
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn asks_a_platforms_command_for_the_audience_of_sigstore() {
        for (platform, arguments) in [
            (Platform::Buildkite, "oidc request-token --audience sigstore"),
            (Platform::CircleCi, "run oidc get --root-issuer --claims {\"aud\":\"sigstore\"}"),
        ] {
            let (directory, path) =
                program(&format!("printf '%s' \"$*\" > \"$0.args\"\necho {}", token()));
            assert_eq!(platform.ask(&path, AUDIENCE).await.unwrap().issuer(), ISSUER);
            let seen = std::fs::read_to_string(directory.path().join("agent.args")).unwrap();
            assert_eq!(seen, arguments);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn says_why_a_command_gave_no_token_and_not_what_it_printed() {
        for (script, class, words) in [
            ("echo s3cret; exit 3", Class::Usage, "exit status: 3"),
            ("true", Class::Usage, "empty"),
            ("echo s3cret", Class::Usage, "not an identity token"),
            ("while true; do echo s3cret; done", Class::Undecided, "printed more than"),
        ] {
            let (_directory, path) = program(script);
            let error = Platform::Buildkite.ask(&path, AUDIENCE).await.unwrap_err();
            assert_eq!(error.class, class, "{error}");
            assert!(error.to_string().contains(words), "{error} lacks {words:?}");
            assert!(!format!("{error:?}").contains("s3cret"));
        }
        let error =
            Platform::Buildkite.ask(Path::new("/no/such/agent"), AUDIENCE).await.unwrap_err();
        assert!(error.to_string().contains("cannot be run"), "{error}");
    }

    #[test]
    fn a_projected_token_for_somebody_else_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = |by, name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Projected { by, path }
        };
        let other = file(
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "aws",
            "e30.eyJpc3MiOiJodHRwczovL2kiLCJhdWQiOiJzdHMifQ.e30",
        );
        let broken = file("AZURE_FEDERATED_TOKEN_FILE", "azure", "nonsense");
        let ours = file("x", "ours", &token());
        let files = [other.clone(), broken.clone(), ours.clone()];
        assert_eq!(projected(&files, AUDIENCE).unwrap(), ours);
        let error = projected(&[other, broken], AUDIENCE).unwrap_err();
        assert!(error.to_string().contains("a token for the audience sts"), "{error}");
        assert!(error.to_string().contains("not an identity token"), "{error}");
        assert!(!error.to_string().contains("eyJ"), "{error}");
    }
}
