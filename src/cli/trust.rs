//! `trust`, and the trust that `sign` and `verify` rely on.

mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::args::{
    Output, TrustAction, TrustArgs, TrustCommand, TrustExportArgs, TrustInitArgs, TrustShowArgs,
};
use super::drive::drive;
use super::words::escape;
use super::{Context, Ended, setup};
use crate::consumer::{PrivateTrust, Tuf};
use crate::error::{Error, Result};
use crate::net;
use crate::run::{self, TrustReport, World};
use crate::sign::ExplicitServices;
use crate::trust::{self, Asking, Instance, InstanceTrust, Source};
use crate::verify::{TrustRoot, Verifier};

/// What the flags lead to.
pub(super) enum Trust {
    /// Something that a flag names.
    Named(Source),
    /// An instance, verified by TUF.
    Instance(Box<InstanceTrust>),
}

/// The client for Sigstore's services and mirrors.
pub(super) fn client(arguments: &TrustArgs, context: &Context<'_, '_>) -> Result<net::Client> {
    service_client(arguments.sigstore_ca_file.as_deref(), context)
}

fn service_client(ca_file: Option<&str>, context: &Context<'_, '_>) -> Result<net::Client> {
    let extra_ca_pem = ca_file.map(|path| setup::read_pem(path, context)).transpose()?;
    let journal = context.journal.clone();
    net::Client::new(net::Options { extra_ca_pem, journal, ..net::Options::default() })
}

/// What to verify with. A file is read at once; an instance is asked when the first object is, beside it.
pub(super) fn trust(
    arguments: &TrustArgs,
    offline: bool,
    context: &Context<'_, '_>,
) -> Result<run::Trust> {
    let trusted = |root: TrustRoot, report: TrustReport| run::Trusted {
        verifier: Arc::new(Verifier::new(root)),
        report,
    };
    if let Some(text) = &arguments.trusted_root {
        let source = Source::parse(text);
        return Ok(run::Trust::known(trusted(trusted_root(&source, context)?, named(&source))));
    }
    let instance = instance(arguments, context)?;
    let asking = asking(arguments, offline, false, context)?;
    let step = refreshing(&instance);
    let world = context.world.clone();
    Ok(run::Trust::coming(&step.clone(), async move {
        world.enter(step);
        let loaded = trust::load(&instance, &asking, || world.now()).await?;
        for warning in &loaded.warnings {
            world.warn(warning.clone());
        }
        Ok(trusted(loaded.trust_root()?, report(&loaded, &world)))
    }))
}

/// The trusted root and what the report says of it, with the services to sign with: those of the signing config or the instance, but for those that
/// are named one by one.
pub(super) fn root_and_services(
    arguments: &TrustArgs,
    signing_config: Option<&str>,
    explicit: &ExplicitServices,
    timeout: Duration,
    context: &mut Context<'_, '_>,
) -> Result<(sigstore_trust_root::SigningConfig, TrustRoot, TrustReport)> {
    let named_by = arguments.trusted_root.is_some();
    if signing_config.is_some() && !named_by
        || named_by && signing_config.is_none() && !explicit.any()
    {
        return Err(Error::usage("--trusted-root and --signing-config belong together").cause(
            "a signature is verified before it is attached, with the root of its instance",
        ));
    }
    if !named_by {
        instance(arguments, context)?.check_signs()?;
    }
    let config =
        signing_config.map(|named| reading(&Source::parse(named), context, trust::signing_config));
    let config = config.transpose()?;
    match load(arguments, false, false, timeout, context)? {
        Trust::Named(source) => {
            Ok((explicit.over(config)?, trusted_root(&source, context)?, named(&source)))
        }
        Trust::Instance(of) => {
            let config = match of.can_sign() || !explicit.any() {
                true => Some(of.signing_config()?),
                false => None,
            };
            Ok((explicit.over(config)?, of.trust_root()?, report(&of, &context.world)))
        }
    }
}

fn trusted_root(source: &Source, context: &Context<'_, '_>) -> Result<TrustRoot> {
    reading(source, context, trust::trusted_root)
}

/// What `read` makes of a source that a flag names.
fn reading<T: Send + 'static>(
    source: &Source,
    context: &Context<'_, '_>,
    read: fn(&Source) -> Result<T>,
) -> Result<T> {
    match source {
        Source::Embedded => read(source),
        Source::File(path) => {
            let source = source.clone();
            context.driver.reading(path, move || read(&source))
        }
    }
}

fn named(source: &Source) -> TrustReport {
    TrustReport { source: source.words(), age: None, expires: None }
}

fn report(of: &InstanceTrust, world: &World) -> TrustReport {
    TrustReport { source: of.words(), age: Some(of.age(world.now())), expires: Some(of.expires) }
}

fn instance(arguments: &TrustArgs, context: &Context<'_, '_>) -> Result<Instance> {
    let name = arguments.instance.as_deref().unwrap_or(trust::PRODUCTION);
    Instance::named(name, context.environment.config_home().as_deref())
}

fn asking(
    arguments: &TrustArgs,
    offline: bool,
    always: bool,
    context: &Context<'_, '_>,
) -> Result<Asking> {
    Ok(Asking {
        client: client(arguments, context)?,
        home: context.environment.cache_home(),
        offline,
        max_age: arguments.max_trust_age,
        always,
    })
}

fn refreshing(instance: &Instance) -> String {
    format!("refreshing the trust of instance {}", instance.name)
}

fn load(
    arguments: &TrustArgs,
    offline: bool,
    always: bool,
    timeout: Duration,
    context: &mut Context<'_, '_>,
) -> Result<Trust> {
    if let Some(text) = &arguments.trusted_root {
        return Ok(Trust::Named(Source::parse(text)));
    }
    let instance = instance(arguments, context)?;
    let asking = asking(arguments, offline, always, context)?;
    let world = context.world.clone();
    context.world.enter(refreshing(&instance));
    let loaded = drive(context, timeout, trust::load(&instance, &asking, || world.now()))??;
    for warning in &loaded.warnings {
        context.world.warn(warning.clone());
    }
    Ok(Trust::Instance(Box::new(loaded)))
}

#[inline(never)]
pub(super) fn run(command: TrustCommand, context: &mut Context<'_, '_>) -> Result<Ended> {
    match command.action {
        TrustAction::Init(arguments) => init(&arguments, context),
        TrustAction::Update(arguments) => {
            if arguments.trust.trusted_root.is_some() {
                return Err(Error::usage("--trusted-root is a file: only an instance is updated"));
            }
            let (trust, timeout) = (&arguments.trust, arguments.common.timeout);
            let found = load(trust, false, true, timeout, context)?;
            show::answer(&found, arguments.common.output, context)
        }
        TrustAction::Show(TrustShowArgs { offline, trust, common }) => {
            let found = load(&trust, offline, false, common.timeout, context)?;
            show::answer(&found, common.output, context)
        }
        TrustAction::Export(arguments) => export(&arguments, context),
    }
}

fn init(arguments: &TrustInitArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let (name, mirror) = (arguments.name.clone(), arguments.mirror.clone());
    let root = PathBuf::from(&arguments.root);
    let file = root.clone();
    let instance =
        context.driver.reading(&root, move || Instance::private(&name, &mirror, &file))?;
    let Some(config) = context.environment.config_home() else {
        return Err(Error::usage("nowhere to keep an instance").cause("HOME is not set"));
    };
    let path = trust::instance_file(&config, &arguments.name);
    if path.exists() && !arguments.force {
        return Err(Error::usage("there is an instance of this name")
            .on(path.display().to_string())
            .hint("--force"));
    }
    let asking = Asking {
        client: service_client(arguments.sigstore_ca_file.as_deref(), context)?,
        home: context.environment.cache_home(),
        offline: false,
        max_age: None,
        always: true,
    };
    let world = context.world.clone();
    context.world.enter(format!("fetching the trust of instance {}", arguments.name));
    let work = trust::init(&instance, &config, &asking, || world.now());
    let (loaded, _) = drive(context, arguments.common.timeout, work)??;
    for warning in &loaded.warnings {
        context.world.warn(warning.clone());
    }
    show::answer(&Trust::Instance(Box::new(loaded)), arguments.common.output, context)
}

/// What the flags name, for those who have to be told it: nothing for the public-good instance.
pub(super) fn private(
    arguments: &TrustArgs,
    timeout: Duration,
    context: &mut Context<'_, '_>,
) -> Result<Option<PrivateTrust>> {
    let found = load(arguments, false, false, timeout, context)?;
    let (public, tuf) = match &found {
        Trust::Named(source) => (matches!(source, Source::Embedded), None),
        Trust::Instance(of) => {
            let tuf = Tuf {
                mirror: of.instance.mirror.as_str().trim_end_matches('/').to_owned(),
                root: of.instance.root().to_owned(),
            };
            (of.instance.name == trust::PRODUCTION, Some(tuf))
        }
    };
    match documents(&found, context)?.as_slice() {
        _ if public => Ok(None),
        [root] => Ok(Some(PrivateTrust { trusted_root: parsed(root)?.to_string(), tuf })),
        _ => Err(Error::usage("nobody can be told several trusted roots at once")),
    }
}

fn export(arguments: &TrustExportArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    let timeout = arguments.common.timeout;
    let found = load(&arguments.trust, arguments.offline, false, timeout, context)?;
    let roots = documents(&found, context)?;
    let Some(file) = &arguments.file else {
        return match (arguments.common.output, roots.as_slice()) {
            (Output::Json, [root]) => Ok(Ended::Document(parsed(root)?)),
            (Output::Json, several) => {
                let several: Result<_> = several.iter().map(|root| parsed(root)).collect();
                Ok(Ended::Document(Value::Array(several?)))
            }
            (Output::Text, _) => {
                Ok(Ended::Text(String::from_utf8_lossy(&lines(&roots)?).into_owned()))
            }
        };
    };
    trust::write_file(Path::new(file), &lines(&roots)?)?;
    match arguments.common.output {
        Output::Json => {
            let mut document = show::document(&found, context)?;
            document["file"] = file.as_str().into();
            Ok(Ended::Document(document))
        }
        Output::Text => Ok(Ended::Text(format!("Written: {}\n", escape(file)))),
    }
}

fn parsed(json: &[u8]) -> Result<Value> {
    serde_json::from_slice(json)
        .map_err(|error| Error::usage("trusted root is no JSON").cause(error.to_string()))
}

/// The trusted roots as they were found, after a look whether they can be used.
fn documents(found: &Trust, context: &Context<'_, '_>) -> Result<Vec<Vec<u8>>> {
    match found {
        Trust::Named(source) => {
            trusted_root(source, context)?;
            reading(source, context, trust::trusted_root_documents)
        }
        Trust::Instance(of) => {
            of.trust_root()?;
            Ok(vec![of.trusted_root.clone()])
        }
    }
}

/// One as it stands; several as JSON lines, which every reader of such files takes.
fn lines(roots: &[Vec<u8>]) -> Result<Vec<u8>> {
    if let [root] = roots {
        return Ok(root.clone());
    }
    let mut text = String::new();
    for root in roots {
        text.push_str(&format!("{}\n", parsed(root)?));
    }
    Ok(text.into_bytes())
}
