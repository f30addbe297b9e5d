//! Helm's own flags, which it forwards to a plugin although they are not the plugin's.
//!
//! Helm takes some of them out and passes them as environment; which ones depends on the major and on
//! where they stand. So all of them are tolerated anywhere, also in front of the subcommand.

use super::environment::Environment;
use crate::error::Error;

/// Helm's flags that take a value which means nothing here.
const WITH_VALUE: &[&str] = &[
    "--burst-limit",
    "--content-cache",
    "--kube-apiserver",
    "--kube-as-group",
    "--kube-as-user",
    "--kube-ca-file",
    "--kube-context",
    "--kube-tls-server-name",
    "--kube-token",
    "--kubeconfig",
    "--namespace",
    "--qps",
    "--repository-cache",
    "--repository-config",
    "-n",
];
/// Helm's flags that take none.
const SWITCHES: &[&str] = &["--kube-insecure-skip-tls-verify"];
/// What `--color` may say; anything else behind it is not its value.
const COLOR_MODES: &[&str] = &["always", "auto", "never"];

/// What Helm's flags said, and the arguments without them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// The arguments that are ours.
    pub arguments: Vec<String>,
    /// `--registry-config`.
    pub registry_config: Option<String>,
    /// `--color` or `--colour`: `never`, `auto` or `always`.
    pub color: Option<String>,
    /// `--debug`.
    pub debug: bool,
    /// What was wrong with them.
    pub error: Option<Error>,
}

impl Forwarded {
    /// `never`, `auto` or `always`, in Helm's order: the flag, `NO_COLOR`, `HELM_COLOR`.
    pub(super) fn color_mode<'a>(&'a self, environment: &'a Environment) -> &'a str {
        match (&self.color, environment.value("NO_COLOR")) {
            (Some(mode), _) => mode,
            (None, Some(_)) => "never",
            (None, None) => environment.value("HELM_COLOR").unwrap_or("auto"),
        }
    }
}

/// Takes Helm's flags out of `arguments` (without the program's name). What follows `--` is ours.
pub(super) fn separate(arguments: Vec<String>) -> Forwarded {
    let mut found = Forwarded::default();
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            found.arguments.push(argument);
            found.arguments.extend(rest);
            return found;
        }
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        match flag {
            flag if SWITCHES.contains(&flag) => {}
            "--debug" => found.debug = value.is_none_or(|value| value == "true" || value == "1"),
            "--color" | "--colour" => {
                let mode = |word: &String| COLOR_MODES.contains(&word.as_str());
                found.color = value.or_else(|| rest.next_if(mode)).or(found.color);
            }
            "--registry-config" => match value.or_else(|| rest.next()) {
                Some(path) if !path.is_empty() => found.registry_config = Some(path),
                _ => found.error = Some(Error::usage("a value is missing").on("--registry-config")),
            },
            // The verbosity of Kubernetes' logger is a number.
            "-v" | "--v" => {
                let number = |word: &String| word.parse::<i32>().is_ok();
                if value.is_none() && rest.next_if(number).is_none() {
                    found.arguments.push(argument);
                }
            }
            flag if WITH_VALUE.contains(&flag) => {
                if value.is_none() {
                    rest.next();
                }
            }
            _ => found.arguments.push(argument),
        }
    }
    found
}

/// Whether Helm may have taken one of our words for itself: to its rules for plugins, this switch has a value.
pub(super) fn may_have_swallowed(environment: &Environment) -> bool {
    environment.value("HELM_PLUGIN_NAME").is_some()
        && environment.is_true("HELM_KUBEINSECURE_SKIP_TLS_VERIFY")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separate_words(words: &str) -> Forwarded {
        separate(words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn helms_flags_are_tolerated_anywhere() {
        for words in [
            "--qps 5 verify oci://x/y",
            "verify --debug oci://x/y --burst-limit=7",
            "--debug=true verify oci://x/y",
            "-n prod verify oci://x/y --kube-context c",
            "-n=prod verify --namespace prod oci://x/y",
            "verify oci://x/y --kube-insecure-skip-tls-verify",
            "--content-cache /c verify oci://x/y --colour never",
            "verify --color oci://x/y",
            "-v 4 verify -v=6 oci://x/y --v 2",
            "verify oci://x/y --registry-config /c.json --repository-config=/r --repository-cache /k",
        ] {
            assert_eq!(separate_words(words).arguments, ["verify", "oci://x/y"], "{words}");
        }
    }

    #[test]
    fn flags_that_are_not_helms_are_left_alone() {
        for words in ["verify -v oci://x/y", "verify --nonsense x", "version --short"] {
            let expected: Vec<_> = words.split_whitespace().collect();
            assert_eq!(separate_words(words).arguments, expected, "{words}");
        }
    }

    #[test]
    fn the_registry_config_is_kept_and_may_not_be_empty() {
        let found = separate_words("verify --registry-config=/c.json");
        assert_eq!(found.registry_config.as_deref(), Some("/c.json"));
        for words in ["verify --registry-config=", "verify --registry-config"] {
            assert!(separate_words(words).error.is_some(), "{words}");
        }
    }

    #[test]
    fn colour_follows_the_flag_then_no_color_then_helm_color() {
        let environment = |pairs: &[(&str, &str)]| {
            Environment::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
        };
        let all = environment(&[("NO_COLOR", "1"), ("HELM_COLOR", "always")]);
        assert_eq!(separate_words("--colour always").color_mode(&all), "always");
        assert_eq!(separate_words("verify").color_mode(&all), "never");
        let helm = environment(&[("NO_COLOR", ""), ("HELM_COLOR", "always")]);
        assert_eq!(separate_words("verify").color_mode(&helm), "always");
        assert_eq!(separate_words("verify").color_mode(&environment(&[])), "auto");
    }

    #[test]
    fn what_follows_the_double_dash_is_ours() {
        assert_eq!(separate_words("verify -- -n x").arguments, ["verify", "--", "-n", "x"]);
    }
}
