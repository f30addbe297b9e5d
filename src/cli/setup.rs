//! From arguments and environment to the parts that `sign` and `verify` share. This is the one step
//! between parsing and running that looks at the world.

use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Context;
use super::args::{ChartArgs, RegistryArgs, VersionOf};
use crate::chart::{Argument, PathKind, RepositoryPrefix};
use crate::error::{Error, Result};
use crate::net;
use crate::registry::{Credentials, Registry, Secret, Settings, Sources};
use crate::run::ChartName;

/// Helm's constraint that admits every version, pre-releases included.
const ANY_VERSION: &str = ">0.0.0-0";
/// The largest secret that is read from standard input.
const MAX_STDIN_BYTES: u64 = 1 << 20;
/// The largest certificate or key file that is read.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// Reads standard input whole, as a secret.
pub(super) fn read_stdin(context: &mut Context<'_, '_>, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    context
        .stdin
        .take(MAX_STDIN_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::usage(format!("cannot read {what}")).cause(error.to_string()))?;
    if bytes.len() as u64 > MAX_STDIN_BYTES {
        return Err(Error::usage(format!("{what} is too long")));
    }
    Ok(bytes)
}

/// The registries that the arguments allow, with the credentials that belong to them.
pub(super) fn registry(
    arguments: &RegistryArgs,
    context: &mut Context<'_, '_>,
    max_referrers: usize,
) -> Result<Registry> {
    let password = if arguments.password_stdin {
        let bytes = read_stdin(context, "password")?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::usage("password is not text"))?
            .trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(Error::usage("password on standard input is empty"));
        }
        Some(Zeroizing::new(text.to_owned()))
    } else {
        if context.given.has("password") {
            context
                .world
                .warn("a password in the arguments can be seen by others: use --password-stdin");
        }
        arguments.password.clone().map(Zeroizing::new)
    };
    let given = match (&arguments.username, password) {
        (Some(username), Some(password)) => {
            Some((username.clone(), Secret::new(password.as_str())))
        }
        (Some(_), None) => {
            return Err(Error::usage("--username without a password").hint("--password-stdin"));
        }
        (None, _) => None,
    };
    let helm = match &context.registry_config {
        Some(path) => Some(PathBuf::from(path)),
        None => context.environment.helm_registry_config(),
    };
    let files = [helm, context.environment.docker_config()].into_iter().flatten().collect();
    let credentials =
        Credentials::new(Sources { given, files, programs: context.environment.programs() });
    let client_identity = match (&arguments.cert_file, &arguments.key_file) {
        (Some(certificate), Some(key)) => Some(net::ClientIdentity {
            certificate_pem: read_pem(certificate, context)?,
            key_pem: Zeroizing::new(read_pem(key, context)?),
        }),
        _ => None,
    };
    let ca_file = arguments.ca_file.as_deref();
    let client = net::Client::new(net::Options {
        extra_ca_pem: ca_file.map(|path| read_pem(path, context)).transpose()?,
        client_identity,
        insecure_skip_tls_verify: arguments.insecure_skip_tls_verify,
        journal: context.journal.clone(),
        ..net::Options::default()
    })?;
    Ok(Registry::new(
        client,
        credentials,
        Settings { plain_http: arguments.plain_http, max_referrers, ..Settings::default() },
    ))
}

/// The flags by which an answer of the registry at `host` proves less than it could. Plain http to this
/// very machine proves no less.
pub(super) fn weakened(arguments: &RegistryArgs, host: Option<&str>) -> Vec<String> {
    let Some(host) = host else { return Vec::new() };
    let local = net::Url::parse(&format!("http://{host}/")).is_ok_and(|url| net::is_loopback(&url));
    let flags = [
        (arguments.insecure_skip_tls_verify, "--insecure-skip-tls-verify"),
        (arguments.plain_http && !local, "--plain-http"),
    ];
    flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag.to_owned()).collect()
}

/// The same for a chart at `host` whose signatures are elsewhere.
pub(super) fn weakened_at(
    arguments: &RegistryArgs,
    host: Option<&str>,
    signatures: Option<&RepositoryPrefix>,
) -> Vec<String> {
    let mut flags = weakened(arguments, host);
    let other = signatures.filter(|_| host.is_some()).map(|prefix| prefix.host.as_str());
    for flag in weakened(arguments, other) {
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
    flags
}

/// `--signature-repository`, or cosign's variable: a whole repository, with or without `oci://`.
pub(super) fn signature_repository(
    arguments: &RegistryArgs,
    context: &Context<'_, '_>,
) -> Result<Option<RepositoryPrefix>> {
    let (source, text) = match &arguments.signature_repository {
        Some(text) => ("--signature-repository ", text.as_str()),
        None => match context.environment.value("COSIGN_REPOSITORY") {
            Some(text) => ("COSIGN_REPOSITORY=", text),
            None => return Ok(None),
        },
    };
    match RepositoryPrefix::parse(text) {
        Ok(prefix) if !prefix.path.is_empty() => Ok(Some(prefix)),
        // The parser's words are about charts; what may be a password is not repeated.
        _ => Err(Error::usage("not a repository")
            .on(source.trim_end_matches(['=', ' ']))
            .cause("it has a host and a path, no tag and no digest")
            .hint(format!("{source}oci://HOST/PATH"))),
    }
}

/// `--signature-repository` says where the signatures of a manifest are; a file alone has none.
pub(super) fn check_has_manifest(
    argument: &Argument,
    repository: Option<&RepositoryPrefix>,
    context: &Context<'_, '_>,
) -> Result<()> {
    let alone = matches!(argument, Argument::File(_)) && repository.is_none();
    if alone && context.given.has("signature_repository") {
        return Err(Error::usage("nothing says where this file was pushed")
            .cause("--signature-repository holds signatures by the manifest in a registry")
            .hint("--repository oci://HOST/PATH"));
    }
    Ok(())
}

/// Whoever writes to a registry names what is meant: an empty tag is a variable that is not set, not a wish.
pub(super) fn check_named_exactly(argument: &Argument) -> Result<()> {
    let Argument::Reference(reference) = argument else { return Ok(()) };
    match reference.overlooked() {
        None => Ok(()),
        Some(why) => Err(Error::usage("this may not be the chart that is meant")
            .on(argument.typed())
            .cause(why)
            .note("what is only read may be named like this, as in Helm")),
    }
}

/// The certificates or the key in a file.
pub(super) fn read_pem(path: &str, context: &Context<'_, '_>) -> Result<Vec<u8>> {
    let path = PathBuf::from(path);
    let file = path.clone();
    context.driver.reading(&path, move || read_pem_at(&file))
}

fn read_pem_at(path: &Path) -> Result<Vec<u8>> {
    let cannot = |error: std::io::Error| {
        Error::usage("cannot read file").on(path.display().to_string()).cause(error.to_string())
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(cannot)?
        .take(MAX_PEM_BYTES)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    Ok(bytes)
}

/// What an argument is, by a look at the file system.
pub(super) fn object(text: &str) -> Result<Argument> {
    Argument::parse(text, |path| match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => PathKind::Directory,
        Ok(_) => PathKind::File,
        Err(_) => PathKind::Missing,
    })
}

/// `--chart`, parsed.
pub(super) fn chart_name(arguments: &ChartArgs) -> Result<Option<ChartName>> {
    arguments.chart.as_deref().map(ChartName::parse).transpose()
}

/// `--version` for one object, or what `--devel` puts in its place where nothing says which version.
pub(super) fn version(arguments: &VersionOf, argument: &Argument) -> Option<String> {
    let unsaid = match argument {
        Argument::Reference(reference) => reference.tag.is_none() && reference.digest.is_none(),
        Argument::File(_) => false,
    };
    let devel = (arguments.devel && unsaid).then(|| ANY_VERSION.to_owned());
    arguments.version.clone().or(devel)
}

/// `--bundle-out` for one of `count` objects: several bundles need a directory.
pub(super) fn bundle_out(target: Option<&str>, count: usize) -> Result<Option<PathBuf>> {
    let Some(target) = target else { return Ok(None) };
    let path = PathBuf::from(target);
    if count > 1 && !path.is_dir() {
        return Err(
            Error::usage("several bundles need a directory").on(format!("--bundle-out {target}"))
        );
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !path.is_dir() && !parent.is_dir() {
        return Err(Error::usage("no such directory").on(format!("--bundle-out {target}")));
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        registry: RegistryArgs,
    }

    #[test]
    fn what_weakens_the_answer_of_a_registry_is_shown_and_loopback_needs_no_tls() {
        let weakened = |words: &[&str], host: Option<&str>| {
            let words = Words::parse_from([&["x"], words].concat());
            weakened(&words.registry, host)
        };
        let both = ["--plain-http", "--insecure-skip-tls-verify"];
        assert_eq!(
            weakened(&both, Some("registry.example:5000")),
            ["--insecure-skip-tls-verify", "--plain-http"]
        );
        for host in ["127.0.0.1:5000", "localhost:5000", "[::1]:5000"] {
            assert_eq!(weakened(&both, Some(host)), ["--insecure-skip-tls-verify"], "{host}");
        }
        assert_eq!(weakened(&[], Some("registry.example")), Vec::<String>::new());
        assert_eq!(weakened(&both, None), Vec::<String>::new());
    }
}
