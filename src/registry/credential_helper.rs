//! Credential helpers: programs that keep passwords (docker/docker-credential-helpers).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::credentials::{Credential, Secret};
use crate::error::{Error, Reason, Result};

/// Bytes of a helper's answer, at most.
const MAX_OUTPUT: u64 = 64 * 1024;
/// Bytes that are kept of what it says about a failure.
const MAX_COMPLAINT: usize = 4 * 1024;
/// How long a helper may take; it may have to ask a person to unlock something.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The user name that marks a helper's secret as an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// What helpers answered so far: each is asked once about each key.
#[derive(Debug, Default)]
pub(super) struct Helpers(HashMap<(String, String), Option<Credential>>);

impl Helpers {
    /// As [`ask`], unless it has been asked.
    pub(super) async fn ask(
        &mut self,
        name: &str,
        key: &str,
        path: &Path,
        programs: &[PathBuf],
    ) -> Result<Option<Credential>> {
        let question = (name.to_owned(), key.to_owned());
        if let Some(answer) = self.0.get(&question) {
            return Ok(answer.clone());
        }
        let answer = ask(name, key, path, programs).await?;
        self.0.insert(question, answer.clone());
        Ok(answer)
    }
}

/// Runs `docker-credential-NAME get` with `key` on its standard input; nothing if it knows none. `path` is
/// the file that names the helper.
///
/// # Errors
///
/// Usage, for a name that is none; undecided (unauthorized) for a helper that is missing, fails, hangs or
/// answers something else. What it wrote to standard error is repeated, and never what it wrote to standard
/// output, where passwords are.
async fn ask(
    name: &str,
    key: &str,
    path: &Path,
    programs: &[PathBuf],
) -> Result<Option<Credential>> {
    // The name comes from a file and becomes the name of a program: no path, no shell, no surprises.
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(Error::usage("malformed credentials file")
            .on(path.display().to_string())
            .cause(format!(
                "{:?} is no name of a credential helper",
                crate::net::bounded_line(name, 40)
            )));
    }
    let program = format!("docker-credential-{name}");
    let failed = |cause: &str| {
        Err(Error::undecided(Reason::Unauthorized, format!("{program}: {cause}"))
            .note(format!("it is named in {}", path.display())))
    };
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let mut places = programs.iter().map(|directory| directory.join(&file));
    let Some(file) = places.find(|place| place.is_file()) else {
        return failed("is not in PATH");
    };
    match tokio::time::timeout(TIMEOUT, run(&file, key)).await {
        Err(_) => failed(&format!("no answer within {} s", TIMEOUT.as_secs())),
        Ok(Err(error)) => failed(&error.to_string()),
        Ok(Ok(Ran { succeeded: false, output, complaint })) => {
            if String::from_utf8_lossy(&output).to_lowercase().contains("credentials not found") {
                return Ok(None);
            }
            match crate::net::one_line(&String::from_utf8_lossy(&complaint)) {
                said if said.is_empty() => failed("failed"),
                said => failed(&format!("failed: {said}")),
            }
        }
        Ok(Ok(Ran { output, .. })) => match serde_json::from_slice::<Answer>(&output) {
            Err(_) => failed("answered something else than credentials"),
            Ok(answer) if answer.secret.expose().is_empty() => Ok(None),
            Ok(answer) if answer.username == TOKEN_USER => {
                Ok(Some(Credential::IdentityToken(answer.secret)))
            }
            Ok(Answer { username, secret }) => {
                Ok(Some(Credential::Basic { username, password: secret }))
            }
        },
    }
}

/// What a helper left behind.
struct Ran {
    succeeded: bool,
    output: Zeroizing<Vec<u8>>,
    complaint: Vec<u8>,
}

async fn run(program: &Path, key: &str) -> std::io::Result<Ran> {
    let mut child = tokio::process::Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input may still know the answer.
        let _ = stdin.write_all(key.as_bytes()).await;
    }
    let mut output = Zeroizing::new(Vec::new());
    let mut complaint = Vec::new();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answer = async {
        if let Some(stdout) = stdout {
            stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output).await?;
        }
        if output.len() as u64 > MAX_OUTPUT {
            return Err(std::io::Error::other(format!("wrote more than {MAX_OUTPUT} bytes")));
        }
        Ok(child.wait().await?.success())
    };
    let listen = async {
        if let Some(stderr) = stderr {
            read_some(stderr, &mut complaint).await;
        }
        std::future::pending::<()>().await;
    };
    // What it left running may hold standard error open; that is no reason to wait.
    let succeeded = tokio::select! {
        biased;
        () = listen => false,
        succeeded = answer => succeeded?,
    };
    Ok(Ran { succeeded, output, complaint })
}

/// Reads to the end, so that nobody has to wait for room, and keeps the beginning.
async fn read_some(mut stream: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut piece = [0_u8; 1024];
    while let Ok(size @ 1..) = stream.read(&mut piece).await {
        let room = MAX_COMPLAINT.saturating_sub(kept.len()).min(size);
        kept.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn speaks_with_a_helper_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let run = async |script: &str| {
            let path = directory.path().join("docker-credential-x");
            helm_sigstore_kit::program::write(&path, script);
            run(&path, "a.example").await
        };
        let ran = run(r#"printf '{"k":"%s %s"}' "$1" "$(cat)""#).await.unwrap();
        assert!(ran.succeeded);
        assert_eq!(ran.output.as_slice(), br#"{"k":"get a.example"}"#);
        let ran = run("echo credentials not found in native keychain; exit 1").await.unwrap();
        assert!(!ran.succeeded && ran.output.starts_with(b"credentials not found"));
        // Who keeps standard error open is not waited for.
        let started = std::time::Instant::now();
        let ran = run("echo locked >&2; sleep 5 >/dev/null & exit 1").await.unwrap();
        assert!(!ran.succeeded && started.elapsed() < Duration::from_secs(4));
        assert_eq!(ran.complaint, b"locked\n");
        let noise =
            "i=0; while [ $i -lt 9000 ]; do echo noise-noise-noise >&2; i=$((i+1)); done; exit 1";
        let ran = run(noise).await.unwrap();
        assert!(!ran.succeeded && ran.complaint.len() == MAX_COMPLAINT);
        let error = run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done").await;
        assert!(error.err().unwrap().to_string().contains("wrote more than"));
    }
}
