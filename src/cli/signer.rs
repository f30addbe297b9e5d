//! From arguments to who signs: the key or the identity, the services, and the verifier that judges what they make.

use std::time::Duration;

use super::args::{SigningArgs, TrustArgs};
use super::services::ServiceArgs;
use super::words::host_of;
use super::{Context, confirm, key, token, trust};
use crate::error::{Error, Result};
use crate::run::TrustReport;
use crate::sign::{KeyServices, PrivateKey, Services, Signer, Token, TokenSource};
use crate::verify::{TrustRoot, Verifier};

/// What can be told before anything is asked.
pub(super) fn check(arguments: &SigningArgs, password_on_stdin: bool) -> Result<()> {
    if password_on_stdin && arguments.identity_token.as_deref() == Some("-") {
        return Err(Error::usage("standard input can be read only once")
            .cause("--password-stdin and --identity-token - both want it"));
    }
    if !arguments.tlog_upload && arguments.key.is_none() {
        return Err(Error::usage("an identity is signed for in the log")
            .on("--tlog-upload=false")
            .cause("its certificate lasts for minutes, and the log proves when it signed"));
    }
    Ok(())
}

/// The signer, the verifier of what it makes, and what the report says of their trust.
pub(super) fn signer(
    arguments: &SigningArgs,
    named: &TrustArgs,
    services: &ServiceArgs,
    timeout: Duration,
    context: &mut Context<'_, '_>,
) -> Result<(Signer, Verifier, TrustReport)> {
    let key = match &arguments.key {
        Some(named) => Some(key::private(named, context)?),
        None => None,
    };
    let client = trust::client(named, context)?;
    let explicit = services.explicit(key.is_some(), arguments.tlog_upload, context)?;
    let config = services.signing_config.as_deref();
    let version = services.rekor_version;
    // A key that logs nothing needs no Sigstore, unless one is named for its timestamps.
    let alone = !arguments.tlog_upload && config.is_none() && !explicit.any() && !named.is_named();
    Ok(match key {
        Some(key) if alone => {
            let services = KeyServices::default();
            announce_key(&services, &key, context);
            let signer = Signer::with_key(client, services, key);
            (signer, Verifier::without_trust(), TrustReport::none())
        }
        Some(key) => {
            let (config, root, report) =
                trust::root_and_services(named, config, &explicit, timeout, context)?;
            let logged = arguments.tlog_upload;
            let services = KeyServices::select(&config, version, logged, context.world.now())?;
            if logged {
                check_log(&root, &report)?;
            }
            announce_key(&services, &key, context);
            (Signer::with_key(client, services, key), Verifier::new(root), report)
        }
        None => {
            let (config, root, report) =
                trust::root_and_services(named, config, &explicit, timeout, context)?;
            let now = context.world.now();
            let services = Services::select(&config, version, now)?;
            check_log(&root, &report)?;
            let issuer = Services::issuer(&config, now);
            let source = token::source(arguments, issuer, context)?;
            let audience = arguments.oidc.audience();
            let token = token::resolve(&source, &client, audience, timeout, context)?;
            token.check(context.world.now(), audience).map_err(|error| error.on(source.label()))?;
            announce(&services, &source, &token, arguments.yes, context)?;
            let signer = Signer::new(client, services, source, token, audience);
            (signer, Verifier::new(root), report)
        }
    })
}

/// An entry that nobody could verify is not written: it would be public before that is found out.
fn check_log(root: &TrustRoot, trust: &TrustReport) -> Result<()> {
    match root.knows_a_log() {
        true => Ok(()),
        false => Err(Error::usage("trusted root has no transparency log")
            .on(trust.source.as_str())
            .cause("a signature is verified before it is attached, its log entry included")),
    }
}

/// A key has no name, so nobody is asked; what becomes public is said.
fn announce_key(services: &KeyServices, key: &PrivateKey, context: &mut Context<'_, '_>) {
    let id = key.public().id();
    context.printer.note(&match &services.log {
        Some(log) => {
            let log = host_of(log.url.as_str());
            format!("signing with key {id}; the public key becomes part of the log {log}")
        }
        None => format!("signing with key {id}; nothing is logged"),
    });
}

/// The identity goes into a public log for ever: a person is asked once, a pipeline gets one line.
fn announce(
    services: &Services,
    source: &TokenSource,
    token: &Token,
    yes: bool,
    context: &mut Context<'_, '_>,
) -> Result<()> {
    let identity = token.identity();
    if !services.is_public_good() || yes || !context.interactive {
        context.printer.note(&format!(
            "signing as {identity} (token from {}); the identity becomes part of the log {}",
            source.label(),
            host_of(services.log.url.as_str()),
        ));
        return Ok(());
    }
    let question = format!(
        "Signing as {identity} (token from {}) publishes this identity in a public log, for ever. Go on? [y/N] ",
        source.label()
    );
    match confirm(context, &question) {
        true => Ok(()),
        false => Err(Error::usage("not signed").cause("the question was not answered with yes")),
    }
}
