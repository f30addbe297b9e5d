//! Helm's own flags, which it forwards to a plugin although they are not the plugin's.
//!
//! Helm takes some of them out and passes them as environment; which ones depends on the major and on
//! where they stand. So all of them are tolerated anywhere, also in front of the subcommand.

/// Helm's flags that take a value.
const WITH_VALUE: &[&str] = &[
    "--burst-limit",
    "--color",
    "--colour",
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
    "--registry-config",
    "--repository-cache",
    "--repository-config",
    "-n",
];
/// Helm's flags that take none.
const SWITCHES: &[&str] = &["--debug", "--kube-insecure-skip-tls-verify"];

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
}

/// Takes Helm's flags out of `arguments` (without the program's name). What follows `--` is ours.
pub(super) fn separate(arguments: Vec<String>) -> Forwarded {
    let mut found = Forwarded::default();
    let mut rest = arguments.into_iter();
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
        if SWITCHES.contains(&flag) {
            found.debug |= flag == "--debug" && value.as_deref().is_none_or(|v| v != "false");
        } else if WITH_VALUE.contains(&flag) {
            let flag = flag.to_owned();
            let value = value.or_else(|| rest.next());
            match flag.as_str() {
                "--registry-config" => found.registry_config = value.filter(|v| !v.is_empty()),
                "--color" | "--colour" => found.color = value,
                _ => {}
            }
        } else {
            found.arguments.push(argument);
        }
    }
    found
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
            "-n prod verify oci://x/y --kube-context c",
            "verify oci://x/y --kube-insecure-skip-tls-verify",
            "--content-cache /c verify oci://x/y --colour never",
        ] {
            assert_eq!(separate_words(words).arguments, ["verify", "oci://x/y"], "{words}");
        }
    }

    #[test]
    fn the_registry_config_and_colour_are_kept() {
        let found = separate_words("verify --registry-config=/c.json --color always --debug=false");
        assert_eq!(found.registry_config.as_deref(), Some("/c.json"));
        assert_eq!(found.color.as_deref(), Some("always"));
        assert!(!found.debug);
    }

    #[test]
    fn what_follows_the_double_dash_is_ours() {
        assert_eq!(separate_words("verify -- -n x").arguments, ["verify", "--", "-n", "x"]);
    }
}
