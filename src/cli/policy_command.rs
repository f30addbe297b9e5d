//! `policy init` and `policy test`.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{Output, PolicyInitArgs, PolicyTestArgs};
use super::drive::drive;
use super::policy::{self, Found};
use super::words::escape;
use super::{Context, Ended, key, setup, trust};
use crate::chart::{Argument, ChartReference, shell_word};
use crate::error::{Error, Reason, Result};
use crate::run::{Outcome, Report, VerifyObject, VerifyRun};
use crate::verify::{
    LogCheck, NamedRule, Policy, PolicyFile, ProvMode, RuleProvenance, RuleTrust, Signer,
    TrustedKey, first_use, yaml_comment,
};

/// Referrers that are listed at most.
const MAX_REFERRERS: usize = 100_000;
/// The schema of what `policy test -o json` prints.
const TEST_SCHEMA: &str = "helm-sigstore.policy-test/v1";
/// The same of `policy init -o json`.
const INIT_SCHEMA: &str = "helm-sigstore.policy-init/v1";

fn reference(text: &str) -> Result<ChartReference> {
    match setup::object(text)? {
        Argument::Reference(reference) => Ok(reference),
        Argument::File(_) => Err(Error::usage("not a reference")
            .on(text)
            .cause("a policy is about repositories: oci://HOST/PATH")),
    }
}

#[inline(never)]
pub(super) fn init(arguments: &PolicyInitArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    context.subject.inputs = vec![arguments.from.clone()];
    let from = reference(&arguments.from)?;
    let target = arguments.file.as_ref().map(PathBuf::from);
    if let Some(path) = &target
        && !arguments.force
        && path.symlink_metadata().is_ok()
    {
        return Err(Error::usage("file exists").on(path.display().to_string()).hint("--force"));
    }
    let log = if arguments.insecure_ignore_tlog { LogCheck::Ignored } else { LogCheck::Required };
    let key = match &arguments.key {
        Some(named) => Some(TrustedKey { key: key::public(named, context)?, log }),
        None if arguments.insecure_ignore_tlog => {
            return Err(Error::usage("only a signature by a key can do without the log")
                .on("--insecure-ignore-tlog")
                .hint("--key cosign.pub"));
        }
        None => None,
    };
    let registry = setup::registry(&arguments.registry, context, MAX_REFERRERS)?;
    let signature_repository = setup::signature_repository(&arguments.registry, context)?;
    let unlogged = key.is_some() && log == LogCheck::Ignored && !arguments.trust.is_named();
    let trust = match unlogged {
        true => policy::without_trust(),
        false => trust::trust(&arguments.trust, false, context)?,
    };
    let policy = key.clone().map_or(Policy::Unstated, |key| Policy::Key(Box::new(key)));
    let run = VerifyRun {
        repeated_flags: std::mem::take(&mut context.given.repeated),
        signature_repository: signature_repository.clone(),
        ..VerifyRun::new(context.world.clone(), registry, trust, policy)
    };
    let argument = Argument::Reference(from.clone());
    let version = setup::version(&arguments.version, &argument);
    let object = VerifyObject {
        weakened: setup::weakened_at(
            &arguments.registry,
            Some(&from.host),
            signature_repository.as_ref(),
        ),
        ..VerifyObject::new(argument, version)
    };
    let outcome = drive(context, arguments.common.timeout, run.verify(&object))?;
    let mut signers: Vec<&Signer> = Vec::new();
    for signer in outcome.signatures.iter().filter_map(|one| one.valid_signer.as_ref()) {
        if !signers.iter().any(|other| other.is_same_person(signer)) {
            signers.push(signer);
        }
    }
    signers.retain(|signer| match (&signer.key_id, &key) {
        (None, key) => key.is_none(),
        (Some(id), Some(key)) => *id == key.key.id().to_string(),
        (Some(_), None) => false,
    });
    if signers.is_empty() {
        return Ok(Ended::Report(Report::new(context.tool.clone(), vec![nobody(outcome)])));
    }
    if !outcome.weakened.is_empty() {
        context.world.warn(format!("weakened by {}", outcome.weakened.join(", ")));
    }
    let text = written(&from, &signers, key.as_ref())?;
    // The rule has to mean the same to somebody who types no --instance; its name is plain (it is a file's).
    let text = match arguments.trust.instance.as_deref() {
        Some(name) if name != crate::trust::PRODUCTION => {
            text.replacen("    any-of:\n", &format!("    instance: {name}\n    any-of:\n"), 1)
        }
        _ => text,
    };
    let digest = outcome.manifest_digest.unwrap_or_default();
    let seen = outcome.reference.unwrap_or_else(|| from.typed.clone());
    let named: Vec<String> = signers.iter().map(|signer| signer.words()).collect();
    let text = format!(
        "# Written by `helm sigstore policy init --from {}`: trust on first use.\n\
         # Whoever had signed {} ({digest}) is trusted below. Nobody has checked that these\n\
         # are the right signers: do that before you rely on it.\n{text}",
        yaml_comment(&from.typed),
        yaml_comment(&seen),
    );
    if let Some(path) = &target {
        write(path, text.as_bytes(), arguments.force).map_err(|error| {
            Error::usage("cannot write policy")
                .on(path.display().to_string())
                .cause(error.to_string())
        })?;
    }
    context.printer.note(
        "trust on first use: the policy trusts whoever has signed this chart; check that these are the right signers",
    );
    if arguments.common.output == Output::Json {
        return Ok(Ended::Document(json!({
            "schema": INIT_SCHEMA,
            "ref": seen,
            "manifestDigest": digest,
            "firstUse": true,
            "signers": named,
            "file": arguments.file,
            "policy": text,
        })));
    }
    Ok(Ended::Text(match &arguments.file {
        Some(file) => {
            let mut words = String::new();
            for name in &named {
                let _ = writeln!(words, "Trusted: {}", escape(name));
            }
            let _ = writeln!(words, "Written: {}", escape(file));
            words
        }
        None => text,
    }))
}

/// A chart that nobody signed whom a policy could trust.
fn nobody(mut outcome: Outcome) -> Outcome {
    let by_key = outcome.error.as_ref().is_some_and(|error| error.reason == Reason::NoIdentity);
    if outcome.error.is_none() || by_key {
        outcome.error = None;
        let error = Error::usage("nothing to trust")
            .cause("it is signed with a key, and a signature does not hold its key")
            .hint("--key cosign.pub");
        return outcome.failed(error);
    }
    outcome
}

/// The policy for these signers, which it has to accept.
fn written(from: &ChartReference, signers: &[&Signer], key: Option<&TrustedKey>) -> Result<String> {
    let key = key.map(|key| (&key.key, key.log == LogCheck::Ignored));
    for exact in [false, true] {
        let text = first_use(&from.repository_ref(), signers, key, exact);
        let no_files = |_: &str| Err(Error::usage("no key is read"));
        let Ok(file) = PolicyFile::parse(text.as_bytes(), &no_files) else { continue };
        let Some(rule) = file.rules().first() else { continue };
        let policy = Policy::Rule(Box::new(rule.rule.clone()));
        if signers.iter().all(|signer| policy.admit(signer).is_ok()) {
            return Ok(text);
        }
    }
    Err(Error::refused(Reason::WrongSigner, "no policy can be written for these signers"))
}

/// Writes a new file, or to replace one a file beside it that is moved there.
fn write(path: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    let mut beside = std::ffi::OsString::from(".");
    beside.push(path.file_name().unwrap_or_default());
    beside.push(format!(".{}", std::process::id()));
    let target = if replace { path.with_file_name(beside) } else { path.to_owned() };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&target)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| if replace { std::fs::rename(&target, path) } else { Ok(()) });
    if written.is_err() {
        let _ = std::fs::remove_file(&target);
    }
    written
}

#[inline(never)]
pub(super) fn test(arguments: &PolicyTestArgs, context: &mut Context<'_, '_>) -> Result<Ended> {
    context.subject.inputs = vec![arguments.reference.clone()];
    let reference = reference(&arguments.reference)?;
    let (path, found) = match policy::find(&arguments.policy, context)? {
        Found::Named(path) => (path, "file"),
        Found::ByDefault(path) => (path, "default-file"),
        Found::Nothing => {
            return Err(Error::usage("there is no policy")
                .cause("neither --policy nor sigstore/policy.yaml in Helm's configuration")
                .hint(format!(
                    "helm sigstore policy init --from {}",
                    shell_word(&arguments.reference)
                )));
        }
    };
    let file = policy::load(&path, context)?;
    let matching = file.matching(&reference.host, &reference.repository);
    let Some(((decides, pattern), others)) = matching.split_first() else {
        let mut error = Error::refused(Reason::NoRule, "no rule of the policy covers it")
            .line("policy", path.display().to_string());
        for rule in file.rules().iter().take(5) {
            let patterns: Vec<_> =
                rule.repositories.iter().take(5).map(|p| p.typed.as_str()).collect();
            error = error.line("rule", format!("{}: {}", rule.name, patterns.join(", ")));
        }
        if file.rules().len() > 5 {
            error = error.note(format!("and {} more rules", file.rules().len() - 5));
        }
        return Err(error);
    };
    let Some(rule) = file.rules().get(*decides) else {
        return Err(Error::usage("there is no such rule"));
    };
    let others: Vec<_> = others
        .iter()
        .filter_map(|(at, pattern)| Some((file.rules().get(*at)?, pattern.typed.as_str())))
        .collect();
    let because = match (pattern.precedence().1, others.is_empty()) {
        (true, _) => "it names this very repository",
        (false, true) => "it is the only one that matches",
        (false, false) => "of those that match it has the longest text before its first star",
    };
    let policy = Policy::Rule(Box::new(rule.rule.clone()));
    let needs = policy.min_signatures();
    if arguments.common.output == Output::Json {
        let also: Vec<_> = others
            .iter()
            .map(|(rule, pattern)| json!({ "rule": rule.name, "line": rule.line, "pattern": pattern }))
            .collect();
        return Ok(Ended::Document(json!({
            "schema": TEST_SCHEMA,
            "ref": reference.typed,
            "source": found,
            "file": path.display().to_string(),
            "rule": rule.name,
            "line": rule.line,
            "pattern": pattern.typed,
            "because": because,
            "alsoMatching": also,
            "minSignatures": needs,
            "trusted": members(&policy),
            "trust": trust_words(&rule.trust),
            "signedAfter": rule.rule.signed_after,
            "signedBefore": rule.rule.signed_before,
            "denied": denied(rule),
            "prov": rule.prov.as_ref().map(RuleProvenance::as_str),
            "keyring": rule.prov.as_ref().and_then(|prov| prov.keyring.as_deref()),
            "requirePredicate": rule.required,
        })));
    }
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label}: {}", escape(value));
    };
    line("Reference", &reference.typed);
    let how = if found == "file" { "" } else { " (found in Helm's configuration)" };
    line("Policy", &format!("{}{how}", path.display()));
    line("Rule", &format!("{} (line {})", rule.name, rule.line));
    line("Because of", &format!("{}: {because}", pattern.typed));
    for (other, pattern) in &others {
        line("Passed over", &format!("{} (line {}): {pattern}", other.name, other.line));
    }
    let listed = members(&policy).len();
    line(
        "Needs",
        &match (rule.all, needs) {
            (true, _) => format!("signatures of all {listed} of"),
            (false, 1) => "a signature of any of".to_owned(),
            (false, needs) => format!("signatures of {needs} of these {listed}"),
        },
    );
    for member in members(&policy) {
        line("  Trusted", &member);
    }
    if let Some(after) = rule.rule.signed_after {
        line("Signed after", &after.to_string());
    }
    if let Some(before) = rule.rule.signed_before {
        line("Signed before", &before.to_string());
    }
    for one in denied(rule) {
        line("Denied", &one);
    }
    for kind in &rule.required {
        line("Required too", kind);
    }
    if let Some(prov) = &rule.prov {
        line("Provenance", &provenance_words(prov));
    }
    line("Trust", &trust_words(&rule.trust));
    Ok(Ended::Text(text))
}

/// Who counts, with the claims that have to hold beside.
fn members(policy: &Policy) -> Vec<String> {
    let identities = policy.identities().iter().map(|identity| {
        let (mut words, constraints) = identity.words();
        for constraint in constraints {
            let _ = write!(words, ", {constraint}");
        }
        match &identity.short {
            Some(short) => format!("{short} ({words})"),
            None => words,
        }
    });
    let keys = policy.keys().iter().map(|key| {
        let log = if key.log == LogCheck::Ignored { ", its log not asked" } else { "" };
        format!("key {}{log}", key.key.id())
    });
    identities.chain(keys).collect()
}

fn denied(rule: &NamedRule) -> Vec<String> {
    let identities = rule.rule.denied.iter().map(|identity| identity.words().0);
    let keys = rule.rule.denied_keys.iter().map(|id| format!("key {id}"));
    let digests = rule.rule.denied_digests.iter().map(|digest| format!("digest {digest}"));
    identities.chain(keys).chain(digests).collect()
}

fn provenance_words(prov: &RuleProvenance) -> String {
    let what = match (prov.mode, prov.accept) {
        (ProvMode::Ignore, _) => "not looked at",
        (_, true) => "suffices where there is no signature of Sigstore",
        (ProvMode::IfPresent, false) => "has to hold where there is one",
        (ProvMode::Require, false) => "has to be there, and to hold",
    };
    match &prov.keyring {
        Some(keyring) => format!("{what} (keyring {keyring})"),
        None => what.to_owned(),
    }
}

fn trust_words(trust: &RuleTrust) -> String {
    match trust {
        RuleTrust::OfTheRun => "that of the run".to_owned(),
        RuleTrust::Instance(name) => format!("instance {name}"),
        RuleTrust::TrustedRoot(file) => format!("trusted root {file}"),
    }
}
