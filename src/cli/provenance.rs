//! How `verify` looks at Helm's provenance file: by its flags, and by the rule of a policy beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{ProvArg, VerifyArgs};
use super::drive::drive;
use super::{Context, policy};
use crate::error::{Error, Result};
use crate::run::{DefaultKeyring, ProvCheck, ProvKeys, load_keyring};
use crate::verify::{Keyring, NamedRule, ProvMode};

/// The variable by which the Go plugin was told its keyring.
pub(super) const KEYRING: &str = "KEYRING";

/// What flags and variables say of provenance.
pub(super) struct Asked {
    mode: ProvMode,
    /// Whether the mode was typed, and is no variable that is meant for every run.
    typed: bool,
    /// The keyring of the flag.
    named: Option<(String, Arc<Keyring>)>,
    of_the_run: ProvCheck,
}

impl Asked {
    /// Reads the keyring that was named. `narrows` says whether rules of a policy decide, whatever `--prov ignore`
    /// says.
    ///
    /// # Errors
    /// Usage: no keyring.
    pub(super) fn of(
        arguments: &VerifyArgs,
        narrows: bool,
        context: &mut Context<'_, '_>,
    ) -> Result<Self> {
        let mode = match arguments.prov {
            ProvArg::Ignore => ProvMode::Ignore,
            ProvArg::IfPresent if arguments.rekor_helm => ProvMode::Require,
            ProvArg::IfPresent => ProvMode::IfPresent,
            ProvArg::Require => ProvMode::Require,
        };
        let timeout = arguments.common.timeout;
        let environment = context.environment;
        let mut read = |path: &str| -> Result<Arc<Keyring>> {
            context.world.enter(format!("reading the keyring {path}"));
            drive(context, timeout, load_keyring(PathBuf::from(path)))?
        };
        let looked_at = mode != ProvMode::Ignore;
        let named = match arguments.keyring.as_deref() {
            Some(path) if looked_at || narrows => Some((path.to_owned(), read(path)?)),
            _ => None,
        };
        let (keyring, keys) = match (&named, environment.value(KEYRING)) {
            _ if !looked_at => (None, ProvKeys::Default(Arc::default())),
            (Some((path, keyring)), _) => {
                (Some(path.clone()), ProvKeys::Named(vec![Arc::clone(keyring)]))
            }
            (None, Some(path)) => (Some(path.to_owned()), ProvKeys::Named(vec![read(path)?])),
            (None, None) => {
                let usual = DefaultKeyring::among(environment.keyrings());
                (None, ProvKeys::Default(Arc::new(usual)))
            }
        };
        let mut of_the_run = ProvCheck { keyring, ..ProvCheck::new(mode, keys) };
        if arguments.rekor_helm {
            of_the_run.asked_by = "--rekor-helm";
        }
        Ok(Self { mode, typed: context.given.has("prov"), named, of_the_run })
    }

    /// What they say where no rule speaks of provenance.
    pub(super) fn of_the_run(&self) -> ProvCheck {
        self.of_the_run.clone()
    }

    /// What `rule` of the policy at `path` says, and they beside it.
    ///
    /// # Errors
    /// Usage: the policy names no keyring that can be read. What stands against the rule is an error of its charts.
    pub(super) fn beside(&self, rule: &NamedRule, path: &Path) -> Result<Result<ProvCheck>> {
        let Some(prov) = &rule.prov else { return Ok(Ok(self.of_the_run())) };
        let keyring = prov.keyring.as_deref().map(|file| {
            policy::read_keyring_beside(path, file).map_err(|error| {
                error.line("policy", format!("{}, line {}", path.display(), rule.line))
            })
        });
        let keyring = keyring.transpose()?.map(Arc::new);
        if self.typed && self.mode == ProvMode::Ignore && prov.mode > ProvMode::Ignore {
            return Ok(Err(Error::usage("flags only narrow a policy")
                .on("--prov ignore")
                .cause(format!("rule {} says prov: {}", rule.name, prov.as_str()))));
        }
        let narrowed = self.named.as_ref().map(|(_, keyring)| Arc::clone(keyring));
        Ok(Ok(ProvCheck::of_rule(prov, keyring, self.mode, narrowed)))
    }
}
