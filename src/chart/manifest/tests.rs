use serde_json::{Value, json};

use super::*;
use crate::error::Class;

fn digest(seed: &str) -> String {
    Digest::of(seed.as_bytes()).to_string()
}

fn layer(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(media_type), "size": 7})
}

fn chart() -> Value {
    json!({
        "schemaVersion": 2,
        "config": layer(CONFIG),
        "layers": [layer(CHART_LAYER)],
        "annotations": {"org.opencontainers.image.version": "1.4.2"},
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = chart();
    change(&mut value);
    value.to_string().into_bytes()
}

#[test]
fn reads_what_helm_pushes() {
    let bytes = with(|_| {});
    let manifest = ChartManifest::parse(&bytes, Some(MANIFEST)).unwrap();
    assert_eq!(manifest.digest, Digest::of(&bytes));
    assert_eq!(manifest.size, bytes.len() as u64);
    assert_eq!(manifest.media_type, MANIFEST);
    assert_eq!(manifest.config.media_type, CONFIG);
    assert_eq!(manifest.chart.digest.to_string(), digest(CHART_LAYER));
    assert_eq!(manifest.chart.size, 7);
    assert!(!manifest.legacy_layer);
    assert_eq!(manifest.prov, None);
    assert_eq!(manifest.annotations["org.opencontainers.image.version"], "1.4.2");
    assert_eq!(ChartManifest::parse(&bytes, None).unwrap(), manifest);
    let parameters = format!("{}; charset=utf-8", MANIFEST.to_uppercase());
    assert_eq!(ChartManifest::parse(&bytes, Some(&parameters)).unwrap(), manifest);
}

#[test]
fn finds_layers_by_type_wherever_they_are() {
    let bytes = with(|v| {
        v["mediaType"] = json!(MANIFEST);
        v["artifactType"] = json!(CONFIG);
        v["layers"] = json!([
            layer(PROV_LAYER),
            {"mediaType": "application/x-other", "digest": "sha512:00", "size": 1},
            layer(CHART_LAYER_LEGACY),
        ]);
    });
    let manifest = ChartManifest::parse(&bytes, None).unwrap();
    assert!(manifest.legacy_layer);
    assert_eq!(manifest.prov.unwrap().digest.to_string(), digest(PROV_LAYER));
}

#[test]
fn refuses_what_is_no_chart() {
    let image = "application/vnd.oci.image.config.v1+json";
    for (name, bytes, content_type, why) in [
        ("no chart layer", with(|v| v["layers"] = json!([])), None, "no chart layer"),
        (
            "two chart layers",
            with(|v| v["layers"] = json!([layer(CHART_LAYER), layer(CHART_LAYER)])),
            None,
            "2 chart layers",
        ),
        (
            "one of each",
            with(|v| v["layers"] = json!([layer(CHART_LAYER), layer(CHART_LAYER_LEGACY)])),
            None,
            "2 chart layers",
        ),
        (
            "two prov layers",
            with(|v| {
                v["layers"] = json!([layer(PROV_LAYER), layer(CHART_LAYER), layer(PROV_LAYER)])
            }),
            None,
            "2 provenance layers",
        ),
        ("an image", with(|v| v["config"] = layer(image)), None, "not that of a chart"),
        ("both shapes", with(|v| v["manifests"] = json!([])), Some(MANIFEST), "at the same time"),
        (
            "both shapes as index",
            with(|v| v["manifests"] = json!([])),
            Some(INDEX),
            "at the same time",
        ),
        ("a manifest called index", with(|_| {}), Some(INDEX), "does not have the shape"),
        ("a Docker image", with(|v| v["mediaType"] = json!(DOCKER_MANIFEST)), None, "Docker image"),
        (
            "an index",
            json!({"schemaVersion": 2, "manifests": [layer(MANIFEST)]}).to_string().into_bytes(),
            Some(INDEX),
            "index of 1 manifests",
        ),
        (
            "an index called manifest",
            json!({"schemaVersion": 2, "manifests": [layer(MANIFEST)]}).to_string().into_bytes(),
            Some(MANIFEST),
            "does not have the shape",
        ),
    ] {
        let error = ChartManifest::parse(&bytes, content_type).unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Refused, Reason::NotAChart), "{name}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
}

#[test]
fn reads_an_index_as_an_index() {
    let bytes =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [layer(MANIFEST)]}).to_string();
    let manifest = Manifest::parse(bytes.as_bytes(), Some(INDEX)).unwrap();
    let Manifest::Index(index) = manifest else { panic!("{manifest:?}") };
    assert_eq!((index.entries.len(), index.descriptor.size), (1, bytes.len() as u64));
    assert_eq!(index.descriptor.digest, Digest::of(bytes.as_bytes()));
}

#[test]
fn leaves_malformed_answers_undecided() {
    let plain = String::from_utf8(with(|_| {})).unwrap();
    let mut bomb = r#"{"schemaVersion":2,"x":"#.to_owned();
    bomb.push_str(&"[".repeat(200_000));
    for (name, bytes, content_type, why) in [
        ("nothing", Vec::new(), None, "not valid"),
        ("no JSON", b"<html>".to_vec(), None, "not valid"),
        ("not UTF-8", b"\xff\xfe".to_vec(), None, "not valid"),
        ("another JSON", b"[]".to_vec(), None, "not valid"),
        ("trailing bytes", format!("{plain} {{}}").into_bytes(), None, "not valid"),
        ("deep", bomb.into_bytes(), None, "not valid"),
        ("schema 1", with(|v| v["schemaVersion"] = json!(1)), None, "schemaVersion"),
        (
            "no schema",
            with(|v| {
                v.as_object_mut().unwrap().remove("schemaVersion");
            }),
            None,
            "schemaVersion",
        ),
        ("no config", with(|v| v["config"] = json!(null)), None, "no config"),
        ("no layers", with(|v| v["layers"] = json!(null)), None, "no layers"),
        ("a list", with(|v| v["layers"] = json!({})), None, "not valid"),
        ("negative size", with(|v| v["layers"][0]["size"] = json!(-1)), None, "not valid"),
        ("endless size", with(|v| v["layers"][0]["size"] = json!(1e300)), None, "not valid"),
        (
            "bad digest",
            with(|v| v["layers"][0]["digest"] = json!("sha256:../../x")),
            None,
            "bad digest",
        ),
        ("no digest", with(|v| v["layers"][0]["digest"] = json!("")), None, "bad digest"),
        ("sha512", with(|v| v["config"]["digest"] = json!("sha512:00")), None, "not sha256"),
        ("annotation number", with(|v| v["annotations"]["a"] = json!(1)), None, "not valid"),
        (
            "two types",
            with(|v| v["mediaType"] = json!(MANIFEST)),
            Some(INDEX),
            "not its content type",
        ),
        ("web page", with(|_| {}), Some("text/html"), "no manifest"),
        (
            "twice the same key",
            plain.replace("\"layers\"", "\"layers\":[],\"layers\"").into_bytes(),
            None,
            "appears twice",
        ),
        (
            "twice the same annotation",
            plain
                .replace("\"annotations\":{", "\"annotations\":{\"a\":\"1\",\"a\":\"2\",")
                .into_bytes(),
            None,
            "appears twice",
        ),
        (
            "a key that only Go reads",
            plain.replace("\"layers\"", "\"Layers\":[],\"layers\"").into_bytes(),
            None,
            "not by others",
        ),
        (
            "a media type that only Go reads",
            plain
                .replace(
                    "\"mediaType\":\"application/vnd.cncf.helm.chart",
                    "\"MediaType\":\"application/vnd.cncf.helm.chart",
                )
                .into_bytes(),
            None,
            "not by others",
        ),
        ("too long", vec![b' '; MAX_MANIFEST_BYTES + 1], None, "bytes long"),
    ] {
        let error = ChartManifest::parse(&bytes, content_type).unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::Malformed), "{name}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
}

#[test]
fn survives_mutated_manifests() {
    let seed = with(|v| v["layers"] = json!([layer(PROV_LAYER), layer(CHART_LAYER)]));
    let mut random = crate::chart::tests::Random::new(2);
    for _ in 0..20_000 {
        let bytes = random.mutate(&seed);
        if let Ok(manifest) = ChartManifest::parse(&bytes, None) {
            assert_eq!(manifest.digest, Digest::of(&bytes));
        }
    }
}
