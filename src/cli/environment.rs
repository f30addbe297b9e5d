//! The environment, read once by `main` and looked at only here.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches};

use super::identities::{ISSUERS, PAIRS, SIGNERS};
use crate::error::{Error, Result};

/// What the variable of a flag begins with.
const PREFIX: &str = "HELM_SIGSTORE_";

/// Environment variables as the process found them. An empty variable is an unset one: Helm sets many
/// of its own to nothing.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Keeps the variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The value of `name`, if it is set and not empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The value of `name`, if it is set, empty or not: a password may be empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether `name` is set to something that means yes.
    pub fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| truth(value) == Some(true))
    }

    /// Helm's registry configuration: `HELM_REGISTRY_CONFIG`, or where Helm keeps it.
    pub(super) fn helm_registry_config(&self) -> Option<PathBuf> {
        if let Some(path) = self.value("HELM_REGISTRY_CONFIG") {
            return Some(PathBuf::from(path));
        }
        Some(self.helm_config_home()?.join("registry").join("config.json"))
    }

    fn helm_config_home(&self) -> Option<PathBuf> {
        Some(match (self.value("HELM_CONFIG_HOME"), self.value("XDG_CONFIG_HOME")) {
            (Some(helm), _) => PathBuf::from(helm),
            (None, Some(xdg)) => PathBuf::from(xdg).join("helm"),
            (None, None) => self.default_config_home()?,
        })
    }

    /// Where what the user has set up is kept: beside Helm's configuration.
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        Some(self.helm_config_home()?.join("sigstore"))
    }

    /// Where what can be fetched again is kept: in Helm's cache.
    pub(super) fn cache_home(&self) -> Option<PathBuf> {
        let home = match (self.value("HELM_CACHE_HOME"), self.value("XDG_CACHE_HOME")) {
            (Some(helm), _) => PathBuf::from(helm),
            (None, Some(xdg)) => PathBuf::from(xdg).join("helm"),
            (None, None) if cfg!(windows) => PathBuf::from(self.value("TEMP")?).join("helm"),
            (None, None) => {
                let home = PathBuf::from(self.value("HOME")?);
                let cache = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
                home.join(cache).join("helm")
            }
        };
        Some(home.join("sigstore"))
    }

    fn default_config_home(&self) -> Option<PathBuf> {
        if cfg!(windows) {
            return Some(PathBuf::from(self.value("APPDATA")?).join("helm"));
        }
        let home = PathBuf::from(self.value("HOME")?);
        Some(if cfg!(target_os = "macos") {
            home.join("Library").join("Preferences").join("helm")
        } else {
            home.join(".config").join("helm")
        })
    }

    /// The directories of programs, those of `PATH`. A relative one is whoever's we happen to be in.
    pub(super) fn programs(&self) -> Vec<PathBuf> {
        let directories = self.value("PATH").unwrap_or_default();
        std::env::split_paths(directories).filter(|directory| directory.is_absolute()).collect()
    }

    /// Docker's configuration: `$DOCKER_CONFIG/config.json`, or where Docker keeps it.
    pub(super) fn docker_config(&self) -> Option<PathBuf> {
        if let Some(directory) = self.value("DOCKER_CONFIG") {
            return Some(PathBuf::from(directory).join("config.json"));
        }
        let home = self.value(if cfg!(windows) { "USERPROFILE" } else { "HOME" })?;
        Some(PathBuf::from(home).join(".docker").join("config.json"))
    }

    /// Where Helm looks for a keyring, and GnuPG keeps its own: `$GNUPGHOME`, else `~/.gnupg`.
    pub(super) fn keyrings(&self) -> Vec<PathBuf> {
        let home = self.value(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
        let directory = match (self.value("GNUPGHOME"), home) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(home)) => PathBuf::from(home).join(".gnupg"),
            (None, None) => return Vec::new(),
        };
        ["pubring.gpg", "pubring.kbx"].map(|name| directory.join(name)).into()
    }

    /// Whether any flag may be set.
    pub(super) fn sets_flags(&self) -> bool {
        self.0.iter().any(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
    }

    /// The flags that `HELM_SIGSTORE_<FLAG>` sets for the subcommand that `matches` is of.
    ///
    /// A flag on the command line wins, also over those that it excludes: an identity that is given there
    /// is not joined by a pattern from the environment.
    ///
    /// # Errors
    /// Usage, when a switch is set to something that is neither yes nor no.
    pub(super) fn flags(
        &self,
        command: &clap::Command,
        matches: &ArgMatches,
    ) -> Result<Vec<String>> {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let mut excluded: HashSet<&str> = HashSet::new();
        for group in command.get_groups() {
            // clap's derive makes one group of every struct; only the exclusive ones count, and those
            // that say who is trusted: nobody joins whom the command line names.
            let members: Vec<_> = group.get_args().map(|id| id.as_str()).collect();
            let whole = !group.clone().is_multiple()
                || [SIGNERS, ISSUERS].contains(&group.get_id().as_str());
            if whole && members.iter().any(|id| given(id)) {
                excluded.extend(members);
            }
        }
        // Nor is an issuer left behind without the identities that it belongs to.
        for (names, issuers) in PAIRS {
            if excluded.contains(names[0]) && !names.iter().any(|id| given(id)) {
                excluded.extend(issuers);
            }
        }
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            for other in command.get_arg_conflicts_with(argument) {
                let other = other.get_id().as_str();
                if given(other) {
                    excluded.insert(id);
                }
                if given(id) {
                    excluded.insert(other);
                }
            }
        }
        let mut flags = Vec::new();
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let Some(long) = argument.get_long() else { continue };
            let asks_for_help =
                matches!(argument.get_action(), ArgAction::Help | ArgAction::Version);
            if given(id) || excluded.contains(id) || asks_for_help {
                continue;
            }
            let name = variable(long);
            let Some(value) = self.value(&name) else { continue };
            if argument.get_action().takes_values() {
                flags.push(format!("--{long}={value}"));
            } else {
                match truth(value) {
                    Some(true) => flags.push(format!("--{long}")),
                    Some(false) => {}
                    None => {
                        return Err(Error::usage("expected true or false").on(name));
                    }
                }
            }
        }
        Ok(flags)
    }
}

/// The variable that sets a flag.
pub(super) fn variable(long: &str) -> String {
    let name = long.trim_start_matches('-').to_uppercase().replace('-', "_");
    format!("{PREFIX}{name}")
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let environment = environment(&[("A", ""), ("B", "x")]);
        assert_eq!(environment.value("A"), None);
        assert_eq!(environment.value("B"), Some("x"));
    }

    #[test]
    fn helms_registry_config_is_found_as_helm_finds_it() {
        let path = |pairs: &[(&str, &str)]| {
            environment(pairs).helm_registry_config().map(|path| path.display().to_string())
        };
        assert_eq!(path(&[("HELM_REGISTRY_CONFIG", "/a"), ("HOME", "/h")]).as_deref(), Some("/a"));
        assert_eq!(
            path(&[("HELM_CONFIG_HOME", "/c"), ("XDG_CONFIG_HOME", "/x")]).as_deref(),
            Some("/c/registry/config.json")
        );
        assert_eq!(
            path(&[("XDG_CONFIG_HOME", "/x")]).as_deref(),
            Some("/x/helm/registry/config.json")
        );
        assert_eq!(path(&[]), None);
    }
}
