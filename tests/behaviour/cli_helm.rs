//! What Helm itself says to a plugin beside the user's words: a large environment, and flags of its own.

use crate::support::World;

/// What Helm 3.22 and 4.3 set for a plugin, as they set it: most of it empty.
fn as_plugin(mut world: World) -> World {
    let home = world.argument("helm home");
    for (name, value) in [
        ("HELM_BIN", "helm".to_owned()),
        ("HELM_BURST_LIMIT", "100".to_owned()),
        ("HELM_CACHE_HOME", format!("{home}/cache")),
        ("HELM_CONFIG_HOME", format!("{home}/config")),
        // Helm 4 alone.
        ("HELM_CONTENT_CACHE", format!("{home}/cache/content")),
        ("HELM_DATA_HOME", format!("{home}/data")),
        ("HELM_DEBUG", "false".to_owned()),
        ("HELM_KUBEAPISERVER", String::new()),
        ("HELM_KUBEASGROUPS", String::new()),
        ("HELM_KUBEASUSER", String::new()),
        ("HELM_KUBECAFILE", String::new()),
        ("HELM_KUBECONTEXT", String::new()),
        ("HELM_KUBEINSECURE_SKIP_TLS_VERIFY", "false".to_owned()),
        ("HELM_KUBETLS_SERVER_NAME", String::new()),
        ("HELM_KUBETOKEN", String::new()),
        ("HELM_MAX_HISTORY", "10".to_owned()),
        ("HELM_NAMESPACE", "default".to_owned()),
        ("HELM_PLUGINS", format!("{home}/data/plugins")),
        ("HELM_PLUGIN_DIR", format!("{home}/data/plugins/helm-sigstore")),
        ("HELM_PLUGIN_NAME", "sigstore".to_owned()),
        ("HELM_QPS", "0.00".to_owned()),
        ("HELM_REGISTRY_CONFIG", format!("{home}/config/registry/config.json")),
        ("HELM_REPOSITORY_CACHE", format!("{home}/cache/repository")),
        ("HELM_REPOSITORY_CONFIG", format!("{home}/config/repositories.yaml")),
        ("KUBECONFIG", String::new()),
    ] {
        world.environment.insert(name.to_owned(), value);
    }
    world
}

#[test]
fn helms_own_environment_changes_no_verdict() {
    let world = as_plugin(World::new());
    let (reference, _) = world.signed_web();
    let ended = world.verify(&[&reference]).exits(0);
    assert_eq!(ended.stderr, "");
    // Nothing of it is a flag of ours, and an empty variable is none.
    let mut world = world;
    for name in ["HELM_SIGSTORE_VERSION", "HELM_SIGSTORE_BUNDLE", "HELM_SIGSTORE_OFFLINE"] {
        world.environment.insert(name.to_owned(), String::new());
    }
    world.verify(&[&reference]).exits(0);
    assert!(!world.path("helm home/data").exists(), "nothing is written beside what is ours");
}

#[test]
fn every_flag_that_helm_forwards_is_tolerated_in_front_and_behind() {
    let world = as_plugin(World::new());
    let (reference, _) = world.signed_web();
    let signer = world.signer();
    for flag in [
        &["--burst-limit", "7"][..],
        &["--color", "never"],
        &["--colour=never"],
        &["--content-cache", "/c"],
        &["--debug"],
        &["--debug=true"],
        &["--kube-apiserver", "https://x"],
        &["--kube-as-group", "g"],
        &["--kube-as-user", "u"],
        &["--kube-ca-file", "/c"],
        &["--kube-context", "c"],
        &["--kube-insecure-skip-tls-verify"],
        &["--kube-insecure-skip-tls-verify=true"],
        &["--kube-tls-server-name", "x"],
        &["--kube-token", "t"],
        &["--kubeconfig", "/k"],
        &["--namespace", "prod"],
        &["-n", "prod"],
        &["-n=prod"],
        &["--qps", "5"],
        &["--registry-config", "/gone.json"],
        &["--repository-cache", "/r"],
        &["--repository-config", "/r"],
        &["-v", "4"],
    ] {
        let ours = [&["verify", &reference][..], &signer.each_ref().map(String::as_str)].concat();
        for words in [[flag, &ours].concat(), [&ours, flag].concat()] {
            let ended = world.run(&words);
            assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_word_that_helm_took_for_the_value_of_a_switch_is_told() {
    let mut world = as_plugin(World::new());
    let taken = "helm takes the word behind --kube-insecure-skip-tls-verify away";
    let ended = world.run(&["verify"]).exits(2).says("error: an argument is missing");
    assert!(!ended.stderr.contains(taken), "{}", ended.stderr);
    // `helm sigstore verify --kube-insecure-skip-tls-verify REF`: this is what is left of it.
    world.environment.insert("HELM_KUBEINSECURE_SKIP_TLS_VERIFY".into(), "true".into());
    world.run(&["verify"]).exits(2).says("error: an argument is missing").says(taken);
}
