//! A `Chart.yaml` that Helm and we read differently.

use helm_sigstore::chart::{Archive, ChartMetadata};
use helm_sigstore_kit::chart::Chart;

/// What `sigs.k8s.io/yaml` 1.4.0, which Helm reads charts with, makes of each document.
const HELM: &[(&str, &str, &str)] = &[
    // YAML 1.1 ends a line, and with it a comment, at these characters; YAML 1.2 does not.
    ("name: web\nversion: 1.0.0\n#\u{85}version: 9.9.9\n", "web", "9.9.9"),
    ("name: web\nversion: 1.0.0\n#\u{2028}version: 9.9.9\n", "web", "9.9.9"),
    ("name: web\nversion: 1.0.0\n#\u{2029}version: 9.9.9\n", "web", "9.9.9"),
    ("name: web\rversion: 1.0.0\r#x\rversion: 9.9.9\r", "web", "9.9.9"),
    // A later merge key wins over an earlier key.
    ("name: web\nversion: 1.0.0\nx: &x\n  version: 9.9.9\n<<: *x\n", "web", "9.9.9"),
    ("name: web\nversion: 1.0.0\n<<: {version: 9.9.9}\n", "web", "9.9.9"),
    ("<<: {version: 9.9.9}\nname: web\nversion: 1.0.0\n", "web", "1.0.0"),
    // Booleans and numbers of YAML 1.1.
    ("name: y\nversion: 1.0.0\n", "true", "1.0.0"),
    ("name: n\nversion: 1.0.0\n", "false", "1.0.0"),
    ("name: Yes\nversion: 1.0.0\n", "true", "1.0.0"),
    ("name: 1_0\nversion: 1.0.0\n", "10", "1.0.0"),
    ("name: 1__2\nversion: 1.0.0\n", "12", "1.0.0"),
    ("name: 010\nversion: 1.0.0\n", "8", "1.0.0"),
    ("name: 1e3\nversion: 1.0.0\n", "1000", "1.0.0"),
    ("name: 0b11\nversion: 1.0.0\n", "3", "1.0.0"),
    ("name: 0x_1\nversion: 1.0.0\n", "1", "1.0.0"),
    ("name: 1.\nversion: 1.0.0\n", "1", "1.0.0"),
    ("name: web\nversion: 1_0.0\n", "web", "10"),
    // Tags.
    ("name: !!binary d2Vi\nversion: 1.0.0\n", "web", "1.0.0"),
    ("name: !!str 7\nversion: 1.0.0\n", "7", "1.0.0"),
    ("name: web\nversion: 1.0.0\n? version\n: 9.9.9\n", "web", "9.9.9"),
    ("name: web\nversion: 1.0.0\n!!binary dmVyc2lvbg==: 9.9.9\n", "web", "9.9.9"),
    ("name: web\nversion: 1.0.0\n!foo version: 9.9.9\n", "web", "9.9.9"),
];

#[test]
fn a_chart_yaml_is_read_as_helm_reads_it_or_not_at_all() {
    let mut differ = Vec::new();
    for (yaml, name, version) in HELM {
        if let Ok(found) = ChartMetadata::from_yaml(yaml.as_bytes())
            && (found.name.as_str(), found.version.as_str()) != (*name, *version)
        {
            differ.push(format!("{yaml:?}: {} {}", found.name, found.version));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn requirements_cannot_rename_a_chart_behind_a_comment() {
    for text in
        ["# nothing\rname: evil\r", "# nothing\u{85}name: evil\n", "a: 1\n<<: {name: evil}\n"]
    {
        let chart = Chart::new("web", "1.4.2").file("requirements.yaml", text);
        assert!(Archive::read(&chart.tgz()).is_err(), "{text:?}");
    }
    let chart = Chart::new("web", "1.4.2").file("requirements.yaml", "# nothing\r\n");
    Archive::read(&chart.tgz()).unwrap();
}
