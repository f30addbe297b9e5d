//! Policy files: where one is found, and what it means for a run.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::args::TrustArgs;
use super::provenance::Asked;
use super::{Context, key, trust};
use crate::error::{Error, Result};
use crate::run::{Means, ProvCheck, Rules, Trust, TrustReport, Trusted, read_keyring};
use crate::verify::{
    Keyring, LogCheck, MAX_POLICY_BYTES, NamedRule, Policy, PolicyFile, PublicKey, RuleTrust,
    Verifier,
};

/// The flag that switches every policy file off.
pub(super) const INSECURE_NO_POLICY: &str = "--insecure-no-policy";

#[derive(Debug, Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// Policy file: who has to have signed what; default: sigstore/policy.yaml in Helm's configuration, if it is there.
    /// Identity flags narrow a policy that is named, and replace one that is only found (`--policy policy.yaml`)
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    pub policy: Option<String>,

    /// Look at no policy file; shown in the report
    #[arg(long, conflicts_with = "policy")]
    pub insecure_no_policy: bool,
}

/// A policy file that counts.
pub(super) enum Found {
    /// By --policy or its variable.
    Named(PathBuf),
    /// In Helm's configuration.
    ByDefault(PathBuf),
    /// There is none, or none is wanted.
    Nothing,
}

/// Looks for the policy file.
///
/// # Errors
/// Usage, when nobody can say whether there is one.
pub(super) fn find(arguments: &PolicyArgs, context: &Context<'_, '_>) -> Result<Found> {
    if let Some(path) = &arguments.policy {
        return Ok(Found::Named(PathBuf::from(path)));
    }
    let home = context.environment.config_home().filter(|_| !arguments.insecure_no_policy);
    let Some(path) = home.map(|home| home.join("policy.yaml")) else { return Ok(Found::Nothing) };
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match path.symlink_metadata() {
        Ok(_) => Ok(Found::ByDefault(path)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(Found::Nothing),
        Err(error) => Err(cannot_read(&path, &error)),
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Error {
    Error::usage("cannot read policy").on(path.display().to_string()).cause(error.to_string())
}

/// Reads the policy at `path`; the files that it names lie beside it.
///
/// # Errors
/// Usage.
pub(super) fn load(path: &Path, context: &Context<'_, '_>) -> Result<PolicyFile> {
    let cannot = |error: std::io::Error| cannot_read(path, &error);
    // A pipe would hold us up, and could say something else the next time.
    if !path.metadata().map_err(cannot)?.is_file() {
        return Err(Error::usage("cannot read policy")
            .on(path.display().to_string())
            .cause("it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(MAX_POLICY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    let read_key =
        |named: &str| -> Result<PublicKey> { key::public(&beside(path, named), context) };
    PolicyFile::parse(&bytes, &read_key).map_err(|error| error.on(path.display().to_string()))
}

/// A file that a policy names: relative to the policy, unless it is a variable.
fn beside(policy: &Path, named: &str) -> String {
    if named.contains("://") || named.starts_with("pkcs11:") {
        return named.to_owned();
    }
    let directory = policy.parent().unwrap_or(Path::new(""));
    directory.join(named).display().to_string()
}

/// The keyring that the policy at `policy` names, which lies beside it.
///
/// # Errors
/// Usage.
pub(super) fn read_keyring_beside(policy: &Path, named: &str) -> Result<Keyring> {
    let path = PathBuf::from(beside(policy, named));
    let object = path.display().to_string();
    // As the policy itself.
    match path.metadata() {
        Ok(found) if found.is_file() => read_keyring(&path),
        Ok(_) => Err(Error::usage("cannot open keyring").on(object).cause("it is no regular file")),
        Err(error) => Err(Error::usage("cannot open keyring").on(object).cause(error.to_string())),
    }
}

/// What the flags say beside the rules of a policy.
pub(super) struct Beside<'a> {
    /// Whether the policy was named, and not only found.
    pub named: bool,
    /// Whom they name.
    pub narrowed: Option<&'a Policy>,
    /// What they rely on.
    pub trust: &'a TrustArgs,
    /// Whether that may be fetched.
    pub offline: bool,
    /// The trust of rules that name none, where it is there already.
    pub of_the_run: Option<&'a Trust>,
    /// What they say of provenance, and the kinds of statements that they ask for; nothing where only signatures
    /// count.
    pub asked: Option<(&'a Asked, &'a [String])>,
}

/// The rules of the policy at `path` for a run.
///
/// # Errors
/// Usage.
pub(super) fn rules(path: &Path, flags: Beside<'_>, context: &Context<'_, '_>) -> Result<Rules> {
    let file = load(path, context)?;
    let Beside { named, narrowed, trust: arguments, offline, of_the_run, asked } = flags;
    let flag = ["instance", "trusted_root"].into_iter().find(|id| context.given.has(id));
    let mut known: HashMap<RuleTrust, Trust> = HashMap::new();
    if let Some(trust) = of_the_run {
        known.insert(RuleTrust::OfTheRun, trust.clone());
    }
    let mut trust = |rule: &NamedRule| -> Result<Trust> {
        if let (Some(flag), true) = (flag, rule.trust != RuleTrust::OfTheRun) {
            let flag = flag.replace('_', "-");
            let error = Error::usage("the rule of the policy names its own trust")
                .cause(format!("rule {}, and --{flag} was given", rule.name));
            return Ok(Trust::coming("", std::future::ready(Err(error))));
        }
        if rule.trust == RuleTrust::OfTheRun && needs_no_trust(rule) && !arguments.is_named() {
            return Ok(without_trust());
        }
        if let Some(trust) = known.get(&rule.trust) {
            return Ok(trust.clone());
        }
        let (instance, trusted_root) = match &rule.trust {
            RuleTrust::OfTheRun => (arguments.instance.clone(), arguments.trusted_root.clone()),
            RuleTrust::Instance(name) => (Some(name.clone()), None),
            RuleTrust::TrustedRoot(file) if file == "embedded" => (None, Some(file.clone())),
            RuleTrust::TrustedRoot(file) => (None, Some(beside(path, file))),
        };
        let arguments = TrustArgs { instance, trusted_root, ..arguments.clone() };
        let loaded = trust::trust(&arguments, offline, context);
        let loaded = loaded.map_err(|error| {
            error.line("policy", format!("{}, line {}", path.display(), rule.line))
        })?;
        known.insert(rule.trust.clone(), loaded.clone());
        Ok(loaded)
    };
    let means = |rule: &NamedRule| -> Result<Means> {
        let trust = trust(rule)?;
        let Some((provenance, required)) = asked else {
            return Ok(Means { trust, prov: Ok(ProvCheck::ignored()), required: Vec::new() });
        };
        let mut kinds = rule.required.clone();
        kinds.extend(required.iter().filter(|kind| !rule.required.contains(kind)).cloned());
        Ok(Means { trust, prov: provenance.beside(rule, path)?, required: kinds })
    };
    Rules::new(file, path.display().to_string(), named, narrowed, means)
}

/// Keys whose log nobody asks for need no root.
fn needs_no_trust(rule: &NamedRule) -> bool {
    rule.rule.identities.is_empty() && rule.rule.keys.iter().all(|key| key.log == LogCheck::Ignored)
}

/// What is good for signatures by such keys.
pub(super) fn without_trust() -> Trust {
    Trust::known(Trusted {
        verifier: Arc::new(Verifier::without_trust()),
        report: TrustReport::none(),
    })
}
