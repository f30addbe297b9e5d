//! Whether a person can be asked to sign in, and how.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{Context, Environment};
use crate::error::{Error, Result};
use crate::sign::{CLIENT_ID, Opener, Redirect, SignIn, Way};

/// Variables of systems that run jobs without anybody in front of them.
const JOBS: [&str; 4] = ["CI", "JENKINS_URL", "TEAMCITY_VERSION", "TF_BUILD"];

/// Where to sign in, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signing in")]
pub(super) struct OidcArgs {
    /// Sign in on another device, with a code that is shown; default: in the browser, where there is one
    #[arg(long, conflicts_with_all = ["identity_token", "key"])]
    pub device: bool,

    /// Issuer to sign in at; default: that of the instance (`--oidc-issuer https://oidc.acme.example`)
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub oidc_issuer: Option<String>,

    /// Client that the issuer knows, and the audience that every token is meant for; default: sigstore
    /// (`--oidc-client-id charts`)
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub oidc_client_id: Option<String>,

    /// Address on this machine that the browser comes back to; default: http://localhost:PORT/auth/callback, any free
    /// port (`--oidc-redirect-url http://localhost:8080/auth/callback`)
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub oidc_redirect_url: Option<String>,

    /// Leave out SIGSTORE_ID_TOKEN and the tokens of the CI job, the workload and the machine
    #[arg(long)]
    pub oidc_disable_ambient_providers: bool,
}

impl OidcArgs {
    /// Whom a token has to be meant for.
    pub(super) fn audience(&self) -> &str {
        self.oidc_client_id.as_deref().unwrap_or(CLIENT_ID)
    }

    /// The person in front of this, if there is one; `issuer` is the instance's.
    ///
    /// # Errors
    /// Usage: flags that cannot be used; `--device` with nobody in front of this; no issuer.
    pub(super) fn person(
        &self,
        issuer: Option<String>,
        context: &Context<'_, '_>,
    ) -> Result<Option<Result<SignIn>>> {
        let redirect = self.oidc_redirect_url.as_deref().map(Redirect::parse).transpose()?;
        if let Some(why) = nobody(context) {
            return match self.device {
                true => Err(Error::usage("nobody is here to sign in")
                    .on("--device")
                    .cause(why)
                    .hint("--identity-token FILE, or SIGSTORE_ID_TOKEN in the environment")),
                false => Ok(None),
            };
        }
        let Some(issuer) = self.oidc_issuer.clone().or(issuer) else {
            return match self.device {
                true => Err(Error::usage("nothing says where to sign in")
                    .on("--device")
                    .cause("the signing config names no issuer")
                    .hint("--oidc-issuer URL")),
                false => Ok(None),
            };
        };
        let way = match opener(context.environment) {
            _ if self.device => Way::Device,
            Some(opener) => Way::Browser(opener),
            None => Way::NoBrowser,
        };
        let world = context.world.clone();
        let tell = move |text: &str| world.say(text);
        let redirect = redirect.unwrap_or_default();
        Ok(Some(SignIn::new(&issuer, self.audience(), redirect, way, tell)))
    }
}

/// Why nobody can be asked, if so.
pub(super) fn nobody(context: &Context<'_, '_>) -> Option<String> {
    let set = |name: &&&str| {
        let value = context.environment.value(name);
        value.is_some_and(|value| !matches!(value, "false" | "0"))
    };
    match JOBS.iter().find(set) {
        _ if !context.interactive => Some("standard input or error is no terminal".to_owned()),
        Some(name) => Some(format!("{name} is set: this is a job")),
        None => None,
    }
}

/// The program that shows a web page: one of `BROWSER`, else the platform's.
fn opener(environment: &Environment) -> Option<Opener> {
    if let Some(browsers) = environment.value("BROWSER") {
        let separator = if cfg!(windows) { ';' } else { ':' };
        let found = browsers.split(separator).find_map(|browser| {
            let mut words = browser.split_whitespace().map(str::to_owned);
            let program = found(environment, &words.next()?)?;
            Some(Opener { program, arguments: words.collect() })
        });
        if found.is_some() {
            return found;
        }
    }
    let (program, arguments): (&str, &[&str]) = if cfg!(windows) {
        // `start` belongs to the shell, which would read the URL as it likes.
        ("rundll32.exe", &["url.dll,FileProtocolHandler"])
    } else if cfg!(target_os = "macos") {
        ("open", &[])
    } else if ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| environment.value(name).is_some()) {
        ("xdg-open", &[])
    } else {
        return None;
    };
    let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
    Some(Opener { program: found(environment, program)?, arguments })
}

/// The file of a program: as it is if it has a path, else from the absolute directories of `PATH`; a relative
/// one is whoever's we happen to be in.
pub(super) fn found(environment: &Environment, program: &str) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.is_absolute() {
        return path.is_file().then(|| path.to_owned());
    }
    if path.components().count() != 1 {
        return None;
    }
    environment
        .programs()
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_first_browser_that_is_there_is_taken_and_no_shell_reads_its_words() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let (fox, one) = (file("fox"), file("one"));
        let path = format!("relative:{}", directory.path().display());
        let of = |browser: &str| opener(&environment(&[("BROWSER", browser), ("PATH", &path)]));
        let found = of(&format!("/no/such:fox --new-window %s:{}", one.display())).unwrap();
        assert_eq!(found.program, fox);
        assert_eq!(found.arguments, ["--new-window", "%s"]);
        assert_eq!(of("one; rm -rf /"), None);
        assert_eq!(of("../one"), None);
        assert_eq!(of(&one.display().to_string()).unwrap().program, one);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_a_display_there_is_no_browser() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("xdg-open");
        std::fs::write(&path, "").unwrap();
        let words = directory.path().display().to_string();
        assert_eq!(opener(&environment(&[("PATH", &words)])), None);
        let found = opener(&environment(&[("PATH", &words), ("WAYLAND_DISPLAY", "wayland-0")]));
        assert_eq!(found.unwrap().program, path);
    }
}
