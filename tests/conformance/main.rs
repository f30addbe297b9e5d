//! Speaks the protocol of the official Sigstore client conformance suite (sigstore-conformance) through the
//! same Verifier and Signer as the command line, with no restriction on the predicate. Exit code 0 only for
//! success.

#![allow(clippy::print_stderr, clippy::print_stdout)] // a program for people, with nothing else to print with

use std::process::ExitCode;
use std::rc::Rc;

use helm_sigstore::chart::Digest;
use helm_sigstore::error::{Error, Result};
use helm_sigstore::net;
use helm_sigstore::sign::{AUDIENCE, Content, Services, Signer, Token, TokenSource};
use helm_sigstore::verify::{
    Artifact, Bundle, Identity, LogCheck, Matcher, Policy, PublicKey, Statement, TrustRoot,
    TrustedKey, Verifier,
};
use jiff::Timestamp;
use sigstore_trust_root::{
    SIGSTORE_PRODUCTION_SIGNING_CONFIG, SIGSTORE_PRODUCTION_TRUSTED_ROOT,
    SIGSTORE_STAGING_SIGNING_CONFIG, SIGSTORE_STAGING_TRUSTED_ROOT, SigningConfig,
};

#[derive(Default)]
struct Arguments {
    staging: bool,
    in_toto: bool,
    bundle: Option<String>,
    identity: Option<String>,
    issuer: Option<String>,
    key: Option<String>,
    trusted_root: Option<String>,
    signing_config: Option<String>,
    identity_token: Option<String>,
    positional: Vec<String>,
}

fn main() -> ExitCode {
    let ended =
        parse(std::env::args().skip(1)).and_then(|(command, arguments)| match command.as_str() {
            "verify-bundle" => verify(&arguments),
            "sign-bundle" => sign(&arguments),
            _ => Err(Error::usage("unknown command").on(command)),
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Arguments come in any order; the first that is no flag is the command.
fn parse(words: impl Iterator<Item = String>) -> Result<(String, Arguments)> {
    let mut arguments = Arguments::default();
    let mut words = words;
    while let Some(word) = words.next() {
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                (flag.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let slot = match flag.as_str() {
            "--staging" => {
                arguments.staging = true;
                continue;
            }
            "--in-toto" => {
                arguments.in_toto = true;
                continue;
            }
            "--bundle" => &mut arguments.bundle,
            "--certificate-identity" => &mut arguments.identity,
            "--certificate-oidc-issuer" => &mut arguments.issuer,
            "--key" => &mut arguments.key,
            "--trusted-root" => &mut arguments.trusted_root,
            "--signing-config" => &mut arguments.signing_config,
            "--identity-token" => &mut arguments.identity_token,
            _ if flag.starts_with("--") => return Err(Error::usage("unknown flag").on(flag)),
            _ => {
                arguments.positional.push(word);
                continue;
            }
        };
        let value = attached.or_else(|| words.next());
        *slot = Some(value.ok_or_else(|| Error::usage("flag without a value").on(flag))?);
    }
    if arguments.positional.is_empty() {
        return Err(Error::usage("no command"));
    }
    let command = arguments.positional.remove(0);
    Ok((command, arguments))
}

fn required<'a>(value: &'a Option<String>, flag: &str) -> Result<&'a str> {
    value.as_deref().ok_or_else(|| Error::usage("missing flag").on(flag))
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::usage("cannot read file").on(path).cause(error.to_string()))
}

fn verifier(arguments: &Arguments) -> Result<Verifier> {
    let json = match &arguments.trusted_root {
        Some(path) => read(path)?,
        None if arguments.staging => SIGSTORE_STAGING_TRUSTED_ROOT.as_bytes().to_vec(),
        None => SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec(),
    };
    TrustRoot::from_json(&json).map(Verifier::new)
}

fn positional(arguments: &Arguments) -> Result<&str> {
    match arguments.positional.as_slice() {
        [one] => Ok(one),
        _ => Err(Error::usage("expected exactly one file or digest")),
    }
}

fn verify(arguments: &Arguments) -> Result<()> {
    let bundle = Bundle::parse(&read(required(&arguments.bundle, "--bundle")?)?)?;
    let verifier = verifier(arguments)?;
    let named = positional(arguments)?;
    let bytes;
    let artifact = if named.starts_with("sha256:") && !std::path::Path::new(named).exists() {
        Artifact::Digest(Digest::parse(named)?)
    } else {
        bytes = read(named)?;
        Artifact::Bytes(&bytes)
    };
    let now = Timestamp::now();
    if let Some(path) = &arguments.key {
        if arguments.identity.is_some() || arguments.issuer.is_some() {
            return Err(Error::usage("a key and an identity were given"));
        }
        let pem = read(path)?;
        let key = PublicKey::from_pem(&pem).map_err(|error| error.on(path))?;
        let policy = Policy::Key(Box::new(TrustedKey { key, log: LogCheck::Required }));
        return verifier.verify_artifact(&bundle, artifact, &policy, now).map(drop);
    }
    let identity = Identity::new(
        Matcher::exact(
            "--certificate-identity",
            required(&arguments.identity, "--certificate-identity")?,
        )?,
        Matcher::exact(
            "--certificate-oidc-issuer",
            required(&arguments.issuer, "--certificate-oidc-issuer")?,
        )?,
    );
    verifier.verify_artifact(&bundle, artifact, &Policy::AnyOf(vec![identity]), now).map(drop)
}

fn sign(arguments: &Arguments) -> Result<()> {
    let verifier = Rc::new(verifier(arguments)?);
    let config = match &arguments.signing_config {
        Some(path) => String::from_utf8_lossy(&read(path)?).into_owned(),
        None if arguments.staging => SIGSTORE_STAGING_SIGNING_CONFIG.to_owned(),
        None => SIGSTORE_PRODUCTION_SIGNING_CONFIG.to_owned(),
    };
    let config = SigningConfig::from_json(&config)
        .map_err(|error| Error::usage("not a signing config").cause(error.to_string()))?;
    let bytes = read(positional(arguments)?)?;
    let text = required(&arguments.identity_token, "--identity-token")?;
    let token = Token::parse(text)?;
    token.check(Timestamp::now(), AUDIENCE)?;
    let content = if arguments.in_toto {
        Content::Statement { payload: &bytes, artifact: first_subject(&bytes)? }
    } else {
        Content::Message { artifact: Digest::of(&bytes) }
    };
    let client = net::Client::new(net::Options::default())?;
    let services = Services::select(&config, None, Timestamp::now())?;
    let source = TokenSource::Literal(text.to_owned().into());
    let signer = Signer::new(client, services, source, token, helm_sigstore::sign::AUDIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::usage("no runtime").cause(error.to_string()))?;
    let signed = runtime.block_on(signer.sign(content, &*verifier))?;
    let path = required(&arguments.bundle, "--bundle")?;
    std::fs::write(path, &signed.json)
        .map_err(|error| Error::usage("cannot write file").on(path).cause(error.to_string()))
}

fn first_subject(payload: &[u8]) -> Result<Digest> {
    let statement = Statement::parse(payload)?;
    let hex = statement.subject.iter().find_map(|subject| subject.digest.get("sha256"));
    let hex = hex.ok_or_else(|| Error::usage("statement has no sha256 subject"))?;
    Digest::parse(&format!("sha256:{hex}"))
}
