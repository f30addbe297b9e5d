//! Signing in in a browser on this machine: the authorization code with PKCE (RFC 8252).

use std::path::PathBuf;
use std::process::Stdio;

use url::Url;

use super::callback::{Answer, Listener};
use super::discovery::Provider;
use super::{SCOPES, SignIn, challenge, form, page, unguessable};
use crate::error::{Error, Reason, Result};
use crate::sign::service::{self, Service};
use crate::sign::token::{Token, bad};

/// A program that shows a URL. It is run by itself, never through a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opener {
    /// The file to run.
    pub program: PathBuf,
    /// Its arguments; `%s` in one of them stands for the URL, which else comes last.
    pub arguments: Vec<String>,
}

impl Opener {
    fn command(&self, url: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        let placed = self.arguments.iter().any(|argument| argument.contains("%s"));
        command.args(self.arguments.iter().map(|argument| argument.replace("%s", url)));
        if !placed {
            command.arg(url);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs the program; ends only when it failed. What it started lives on: a browser is not ours to end.
    async fn show(&self, url: &str) -> String {
        let failed = match self.command(url).spawn() {
            Err(error) => error.kind().to_string(),
            Ok(mut child) => match child.wait().await {
                Ok(status) if status.success() => std::future::pending().await,
                Ok(status) => status.to_string(),
                Err(error) => error.kind().to_string(),
            },
        };
        format!("{}: {failed}", self.program.display())
    }
}

/// Sends the person to the issuer, waits for the answer that comes back, and exchanges it for a token.
pub(super) async fn sign_in(
    person: &SignIn,
    service: &Service<'_>,
    provider: &Provider,
    opener: Option<&Opener>,
) -> Result<Token> {
    let listener = Listener::bind(&person.redirect)?;
    let redirect = listener.url();
    let (state, nonce, verifier) = (unguessable()?, unguessable()?, unguessable()?);
    let mut url: Url = provider.authorization.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &person.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", SCOPES)
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    match opener {
        Some(_) => (person.tell)("A browser opens to sign in; if none does, open this address:"),
        None => (person.tell)("To sign in, open this address in a browser on this machine:"),
    }
    (person.tell)(url.as_str());
    let answer = {
        let mut answered = std::pin::pin!(listener.answer(&state, &person.issuer_text));
        let mut shown = std::pin::pin!(async {
            match opener {
                Some(opener) => opener.show(url.as_str()).await,
                None => std::future::pending().await,
            }
        });
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            failed = &mut shown => {
                (person.tell)(&format!("The browser did not open ({failed}): open the address yourself."));
                answered.await
            }
        }
    };
    let Some((answer, browser)) = answer else {
        return Err(bad("the sign-in was answered by somebody else")
            .cause("what came back did not belong to this sign-in, several times"));
    };
    let token = match answer {
        Answer::Refused(words) => Err(bad("the issuer did not let you sign in").cause(words)),
        Answer::Code(code) => {
            let grant = [
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", redirect),
                ("client_id", &person.client_id),
                ("code_verifier", &verifier),
            ];
            exchange(person, service, &provider.token, &grant, &nonce).await
        }
    };
    // The person looks at the browser: it says what became of it.
    browser.reply(&page::of(&token)).await;
    token
}

async fn exchange(
    person: &SignIn,
    service: &Service<'_>,
    endpoint: &Url,
    grant: &[(&str, &str)],
    nonce: &str,
) -> Result<Token> {
    let answer = service.send(form(endpoint, grant)).await?;
    match answer.status {
        200 => person.token(service, endpoint, &answer.body, Some(nonce)),
        400..=403 => {
            let words = match serde_json::from_slice::<super::Denied>(&answer.body) {
                Ok(denied) => denied.words(),
                Err(_) => answer.status.to_string(),
            };
            Err(bad("the issuer gave no identity token")
                .cause(format!("POST {}: {words}", service::place(endpoint))))
        }
        _ => Err(service.refused(&answer)),
    }
}

/// Nothing can listen.
pub(super) fn cannot_listen(error: &std::io::Error) -> Error {
    Error::undecided(
        Reason::Unreachable,
        format!("no port on this machine can be listened at: {}", error.kind()),
    )
}
