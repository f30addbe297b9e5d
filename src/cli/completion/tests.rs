use super::*;

fn offered(words: &[&str]) -> Wanted {
    let mut definition = parse::definition("helm-sigstore", false);
    definition.build();
    let (word, before) = words.split_last().unwrap();
    let before: Vec<_> = before.iter().map(|word| (*word).to_owned()).collect();
    wanted(&definition, &before, word)
}

fn values(words: &[&str]) -> (Vec<String>, u8) {
    let (Wanted::Offer(offer) | Wanted::Flags(offer)) = offered(words) else {
        panic!("{words:?} asks for tags")
    };
    let word = words.last().unwrap();
    let values = offer.candidates.into_iter().map(|(value, _)| value);
    (values.filter(|value| value.starts_with(word)).collect(), offer.directive)
}

#[test]
fn commands_are_completed_at_every_depth() {
    let (names, directive) = values(&[""]);
    assert!(
        ["completion", "key", "sign", "trust", "verify"]
            .iter()
            .all(|n| names.contains(&(*n).to_owned()))
    );
    assert_eq!(directive, NO_FILES);
    assert!(!names.iter().any(|name| name == "help" || name == VERB));
    assert_eq!(values(&["ver"]).0, ["verify", "version"]);
    assert_eq!(values(&["trust", "in"]).0, ["init"]);
    assert_eq!(values(&["nonsense", ""]), (Vec::new(), NO_FILES));
}

#[test]
fn flags_are_completed_and_not_twice() {
    let (flags, _) = values(&["verify", "--certificate-i"]);
    assert!(flags.contains(&"--certificate-identity".to_owned()), "{flags:?}");
    assert_eq!(values(&["sign", "--plain-http", "--plain"]).0, Vec::<String>::new());
    let (again, _) = values(&["verify", "--certificate-identity", "a", "--certificate-identity"]);
    assert!(again.contains(&"--certificate-identity".to_owned()), "{again:?}");
    // Behind a double dash nothing is a flag.
    assert_eq!(values(&["verify", "--", "--pl"]).0, Vec::<String>::new());
}

#[test]
fn values_are_completed_where_they_are_known() {
    assert_eq!(values(&["verify", "--output", ""]).0, ["json", "text"]);
    assert_eq!(values(&["verify", "-o", "j"]).0, ["json"]);
    assert_eq!(values(&["verify", "--output=j"]).0, ["--output=json"]);
    assert_eq!(values(&["verify", "--instance", "s"]).0, ["staging"]);
    assert_eq!(values(&["completion", ""]).0, ["bash", "fish", "powershell", "zsh"]);
    assert_eq!(values(&["verify", "--username", ""]), (Vec::new(), NO_FILES));
    for file in [&["verify", "--bundle", ""][..], &["sign", "--key", ""], &["sign", "web"]] {
        assert_eq!(values(file), (Vec::new(), FILES), "{file:?}");
    }
}

#[test]
fn a_repository_is_asked_for_its_tags_and_only_then() {
    let front = |words: &[&str]| match offered(words) {
        Wanted::TagsOf(front) | Wanted::VersionsOf(front) => Some(front),
        Wanted::Offer(_) | Wanted::Flags(_) => None,
    };
    assert_eq!(front(&["verify", "oci://r.io/web:"]).as_deref(), Some("oci://r.io/web"));
    assert_eq!(front(&["sign", "r.io:5000/a/web:1."]).as_deref(), Some("r.io:5000/a/web"));
    let version = ["verify", "oci://r.io/a/web", "--version", "1"];
    assert_eq!(front(&version).as_deref(), Some("oci://r.io/a/web"));
    for words in [
        &["verify", "oci://r.io/web"][..],
        &["verify", "r.io:50"],
        &["verify", "oci:"],
        &["verify", "oci://r.io/web@sha256:ab"],
        &["verify", "--version", "1"],
        &["version", "oci://r.io/web:"],
    ] {
        assert_eq!(front(words), None, "{words:?}");
    }
}

#[test]
fn the_static_form_names_every_command_and_its_flags() {
    let text = completion_yaml();
    assert!(text.contains("\ncommands:\n"), "{text}");
    for line in ["  - name: verify\n", "      - \"certificate-identity\"\n", "      - name: init\n"]
    {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
fn helm_pairs_short_flags_with_long_ones_by_their_place() {
    #[derive(serde::Deserialize)]
    struct Static {
        name: String,
        #[serde(default)]
        flags: Vec<String>,
        #[serde(default)]
        commands: Vec<Static>,
    }
    let read: Static = serde_saphyr::from_str(&completion_yaml()).unwrap();
    assert_eq!(read.name, "sigstore");
    let sign = read.commands.iter().find(|command| command.name == "sign").unwrap();
    let (short, long): (Vec<_>, Vec<_>) = sign.flags.iter().partition(|flag| flag.len() == 1);
    for (name, letter) in [("help", "h"), ("output", "o"), ("yes", "y")] {
        let at = |flags: &[&String], wanted: &str| flags.iter().position(|flag| *flag == wanted);
        let place = at(&long, name);
        assert!(place.is_some() && place == at(&short, letter), "{name} in {:?}", sign.flags);
    }
}
