use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn wrong(text: &str, pairs: &[(&str, &str)]) -> Error {
    match parse(&words(text), &environment(pairs), false) {
        Err(Unparsed::Wrong(error)) => error,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn json_is_found_before_the_arguments_are_parsed() {
    let none = Environment::default();
    for text in [
        "verify -o json --nonsense",
        "verify -ojson",
        "x --output=json",
        "-o text -o json",
        "sign -yo json",
        "sign -yo=json",
    ] {
        assert!(wants_json(&words(text), &none), "{text}");
    }
    for text in ["verify", "verify -o text", "verify -- -o json", "verify -o", "verify --o json"] {
        assert!(!wants_json(&words(text), &none), "{text}");
    }
    let set = environment(&[("HELM_SIGSTORE_OUTPUT", "json")]);
    assert!(wants_json(&words("verify"), &set));
    assert!(!wants_json(&words("verify -o text"), &set));
}

#[test]
fn one_command_by_itself_is_read_as_with_all_of_them() {
    let none = Environment::default();
    let told = |parsed: &Parsed| {
        let mut ids: Vec<_> = parsed.given.ids.iter().collect();
        ids.sort();
        format!("{:?} {ids:?} {:?}", parsed.cli, parsed.given.repeated)
    };
    for text in [
        "version",
        "version --short -o json",
        "verify oci://r/web:1 --certificate-identity a --certificate-identity-regexp b --certificate-oidc-issuer c",
        "verify web.tgz --bundle b --offline --accept legacy --timeout 5s --plain-http=true --key k -- x",
        "verify --github a/b@refs/tags/* oci://r/web:1 --all --max-candidates 5 --trusted-root embedded",
        "sign oci://r/web:1 --key k --tlog-upload=false --certificate-identity a --certificate-oidc-issuer c -y",
        "attest oci://r/web:1 --predicate p --predicate-type spdx",
        "push web.tgz oci://r/x --sign --github-output",
        "tree oci://r/web:1",
        "detach oci://r/web:1 --digest sha256:00 --yes",
        "trust show -o json",
        "trust init acme --mirror https://m --root r",
        "key generate --output-key-prefix a",
        "policy init --from oci://r/web:1 policy.yaml",
        "policy export flux oci://r/web:1 --certificate-identity a --certificate-oidc-issuer c",
        "completion bash",
        "rekor upload web.tgz --public-key k -y",
        "rekor search --sha 00 -o json",
        "search web.tgz --email a@b",
        "upload oci://r/web:1 --rekor-server https://r",
    ] {
        match (plain(&words(text), &none), whole(&words(text), &none, false)) {
            (Some(plain), Ok(whole)) => assert_eq!(told(&plain), told(&whole), "{text}"),
            // What excludes another flag, or is no flag, is told by the whole grammar.
            (plain, whole) => assert_eq!(plain.is_some(), whole.is_ok(), "{text}"),
        }
    }
    for text in
        ["", "help verify", "verify --help", "verify oci://r/web:1 --nonsense", "-o json version"]
    {
        assert!(plain(&words(text), &none).is_none(), "{text}");
    }
    let set = environment(&[("HELM_SIGSTORE_ALL", "true")]);
    assert!(plain(&words("verify oci://r/web:1"), &set).is_none());
    // Every command has a definition of its own.
    for command in definition("helm-sigstore", false).get_subcommands() {
        let name = command.get_name();
        assert!(Command::definition_of(name).is_some(), "{name}");
    }
}

#[test]
fn the_environment_sets_flags_and_the_command_line_wins() {
    let environment = environment(&[
        ("HELM_SIGSTORE_TRUSTED_ROOT", "embedded"),
        ("HELM_SIGSTORE_PLAIN_HTTP", "true"),
        ("HELM_SIGSTORE_CERTIFICATE_IDENTITY_REGEXP", ".*"),
        ("HELM_SIGSTORE_REPOSITORY", "oci://r/x"),
        ("HELM_SIGSTORE_TIMEOUT", ""),
        ("HELM_SIGSTORE_VERSION", "^1"),
    ]);
    let parsed = parse(
        &words("verify --certificate-identity a --bundle b oci://r/web"),
        &environment,
        false,
    );
    let Ok(Parsed { cli: Cli { command: Command::Verify(arguments) }, given, .. }) = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!(arguments.trust.trusted_root.as_deref(), Some("embedded"));
    assert!(arguments.registry.plain_http);
    assert_eq!(arguments.identity.certificate_identity, ["a"]);
    assert!(arguments.identity.certificate_identity_regexp.is_empty());
    assert_eq!(arguments.repository, None);
    assert_eq!(arguments.chart.version.version.as_deref(), Some("^1"));
    assert!(given.has("bundle") && !given.has("trusted_root"));
    assert_eq!(given.repeated, [("--bundle".to_owned(), Some("b".to_owned()))]);
}

#[test]
fn every_flag_can_be_set_by_its_variable_and_an_empty_variable_is_unset() {
    let mut definition = definition("helm-sigstore", false);
    definition.build();
    for (command, object) in [
        ("sign", "oci://r.io/web"),
        ("doctor", "oci://r.io/web"),
        ("tree", "oci://r.io/web"),
        ("verify", "oci://r.io/web"),
        ("version", ""),
    ] {
        let command = definition.find_subcommand(command).unwrap();
        let arguments = words(&format!("{} {object}", command.get_name()));
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long().filter(|long| *long != "help") else {
                continue;
            };
            let name = super::super::environment::variable(&format!("--{long}"));
            // Something that no flag takes: it has to be noticed, so the variable was read.
            let value = if argument.get_action().takes_values() { "\u{7}" } else { "maybe" };
            let read = parse(&arguments, &environment(&[(&name, value)]), false);
            let noticed = match &read {
                Err(Unparsed::Wrong(_)) => true,
                Ok(parsed) => format!("{:?}", parsed.cli).contains("\\u{7}"),
                Err(_) => false,
            };
            assert!(noticed, "{name}: {read:?}");
            let unset = parse(&arguments, &environment(&[(&name, "")]), false);
            assert!(unset.is_ok(), "{name}: {unset:?}");
        }
    }
}

#[test]
fn every_flag_with_a_value_shows_one() {
    fn look(command: &clap::Command, without: &mut Vec<String>) {
        for argument in command.get_arguments().filter(|one| one.get_action().takes_values()) {
            let Some(long) = argument.get_long() else { continue };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let named = !argument.get_possible_values().is_empty();
            if !named && !help.contains(&format!("--{long} ")) {
                without.push(format!("{} --{long}: {help}", command.get_name()));
            }
        }
        command.get_subcommands().for_each(|below| look(below, without));
    }
    let mut definition = definition("helm-sigstore", false);
    definition.build();
    let mut without = Vec::new();
    look(&definition, &mut without);
    assert!(without.is_empty(), "{}", without.join("\n"));
}

#[test]
fn an_empty_value_on_the_command_line_is_an_error_for_every_flag() {
    let mut definition = definition("helm-sigstore", false);
    definition.build();
    for name in [
        "attest",
        "completion",
        "detach",
        "doctor",
        "key",
        "policy",
        "search",
        "sign",
        "tree",
        "verify",
        "version",
    ] {
        let command = definition.find_subcommand(name).unwrap();
        let takes = command.get_arguments().filter(|a| a.get_action().takes_values());
        for long in takes.filter_map(clap::Arg::get_long) {
            for arguments in [
                vec![name.to_owned(), format!("--{long}=")],
                vec![name.to_owned(), format!("--{long}"), String::new()],
            ] {
                let read = parse(&arguments, &Environment::default(), false);
                assert!(matches!(read, Err(Unparsed::Wrong(_))), "{arguments:?}: {read:?}");
            }
        }
    }
    let empty = ["verify".to_owned(), String::new()];
    assert!(matches!(parse(&empty, &Environment::default(), false), Err(Unparsed::Wrong(_))));
}

#[test]
fn the_parser_is_put_into_our_words() {
    for (text, what, object, hint) in [
        ("", "no command was given", "", "helm-sigstore --help"),
        ("sgn", "no such command", "sgn", "sign"),
        ("verify", "an argument is missing", "<REF|FILE|@LIST|->", "helm-sigstore verify --help"),
        ("verify a.b/c --trusted-rot x", "no such flag", "--trusted-rot", "--trusted-root"),
        ("verify a.b/c -o jsn", "invalid value", "--output jsn", "json"),
        (
            "verify a.b/c --timeout abc",
            "invalid value",
            "--timeout abc",
            "helm-sigstore verify --help",
        ),
        (
            "verify --trusted-root",
            "a value is missing",
            "--trusted-root",
            "helm-sigstore verify --help",
        ),
        ("verify a.b/c --offline=3", "takes no value", "--offline", "helm-sigstore verify --help"),
        ("verify a.b/c -o json -o json", "given twice", "--output", "helm-sigstore verify --help"),
        (
            "verify a.b/c --bundle a --repository b",
            "cannot be used together",
            "--repository and --bundle",
            "helm-sigstore verify --help",
        ),
        (
            "verify a.b/c --password x",
            "an argument is missing",
            "--username <NAME>",
            "helm-sigstore verify --help",
        ),
    ] {
        let error = wrong(text, &[]);
        assert_eq!((error.what.as_str(), error.object.as_str()), (what, object), "{text}");
        assert_eq!(error.hint.as_deref(), Some(hint), "{text}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    let error = wrong("verify a.b/c", &[("HELM_SIGSTORE_MATCH", "all")]);
    let cause = error.lines.iter().find(|line| line.label == "cause").unwrap();
    assert_eq!(cause.text, "it is set by HELM_SIGSTORE_MATCH");
    let error = wrong("verify a.b/c", &[("HELM_SIGSTORE_OFFLINE", "perhaps")]);
    assert_eq!(error.object, "HELM_SIGSTORE_OFFLINE");
}

#[test]
fn every_help_begins_with_an_example_that_works() {
    for (program, plugin) in [("helm-sigstore", ""), ("helm sigstore", "sigstore")] {
        let environment = environment(&[("HELM_PLUGIN_NAME", plugin)]);
        for command in [
            "",
            "completion",
            "detach",
            "doctor",
            "key",
            "key generate",
            "policy",
            "policy init",
            "policy test",
            "rekor",
            "rekor search",
            "rekor upload",
            "rekor verify",
            "search",
            "sign",
            "tree",
            "trust",
            "trust init",
            "trust update",
            "trust show",
            "trust export",
            "upload",
            "verify",
            "version",
        ] {
            for text in [format!("{command} --help"), format!("help {command}")] {
                let Err(Unparsed::Help(help)) = parse(&words(&text), &environment, false) else {
                    panic!("no help: {text}");
                };
                let example = help.split("\n\n").next().unwrap();
                assert!(example.starts_with("Example:\n  $ "), "{help}");
                let mut tried = 0;
                for line in example.replace("\\\n", " ").lines().skip(1) {
                    let line = line.trim().trim_start_matches("$ ").replace('\'', "");
                    let Some(rest) = line.strip_prefix(program) else { continue };
                    parse(&words(rest), &Environment::default(), false).unwrap();
                    tried += 1;
                }
                assert!(tried > 0, "{help}");
            }
        }
    }
}
