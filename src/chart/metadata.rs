//! A chart's own description: `Chart.yaml` in the archive, the same as JSON in the config blob.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, Visitor};
use serde::{Deserialize, Serialize};

use super::dependencies::Dependencies;
use super::strict::{self, Depth, StrictKeys};
use super::version::Version;
use crate::error::{Error, Reason, Result};

/// The longest `Chart.yaml` or config blob that is read, in bytes. (Helm reads 5 MiB; the largest that are
/// seen, full of release notes, stay below 200 KiB.)
pub const MAX_METADATA_BYTES: usize = 1024 * 1024;
/// The longest chart name that Helm creates, in characters.
const MAX_NAME: usize = 250;

const KEYS: StrictKeys = StrictKeys {
    known: &[
        "annotations",
        "apiVersion",
        "appVersion",
        "dependencies",
        "description",
        "name",
        "type",
        "version",
    ],
    depth: Depth::Top,
    merge: true,
};

/// What a chart says of itself, as far as signing and verifying need it. Name and version are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartMetadata {
    /// `v1` or `v2`; Helm takes a missing one for `v1`.
    pub api_version: String,
    /// The name: letters, digits, `.`, `_` and `-`, so that it can stand in a file name.
    pub name: String,
    /// The version, as written; it parses by Helm's lenient rules.
    pub version: String,
    /// One sentence about the chart.
    pub description: Option<String>,
    /// The version of what the chart installs: free text.
    pub app_version: Option<String>,
    /// Free text by key.
    pub annotations: BTreeMap<String, String>,
}

impl ChartMetadata {
    /// Reads `Chart.yaml`. Unknown fields are tolerated, as in Helm; repeated ones, more than one document and
    /// dependencies with which Helm loads no chart are not.
    ///
    /// # Errors
    /// Refused (`not-a-chart`).
    pub fn from_yaml(bytes: &[u8]) -> Result<Self> {
        Self::of_chart(bytes, None)
    }

    /// The same with the `requirements.yaml` of a chart of old, whose dependencies count too.
    ///
    /// # Errors
    /// Refused (`not-a-chart`).
    pub(super) fn of_chart(chart_yaml: &[u8], requirements: Option<&[u8]>) -> Result<Self> {
        let place = "Chart.yaml";
        check_length(chart_yaml, place)?;
        let text = yaml_text(chart_yaml).map_err(|cause| bad(place, cause))?;
        yaml::<TopKeys>(text).map_err(|cause| bad(place, cause))?;
        let wire = yaml::<Wire<Dependencies>>(text).map_err(|cause| bad(place, cause))?;
        let (metadata, dependencies) = wire.check().map_err(|cause| bad(place, cause))?;
        let (place, dependencies) = match requirements {
            None => (place, dependencies),
            Some(bytes) => ("requirements.yaml", dependencies.then(read_requirements(bytes)?)),
        };
        dependencies.check().map_err(|cause| bad(place, cause))?;
        Ok(metadata)
    }

    /// Reads the config blob of a chart's manifest.
    ///
    /// # Errors
    /// Refused (`not-a-chart`).
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        check_length(bytes, "the config blob")?;
        let bad = |cause: String| bad("the config blob", cause);
        strict::check_json(bytes, KEYS).map_err(|e| bad(e.to_string()))?;
        // Helm reads dependencies from the chart alone.
        let wire: Wire<IgnoredAny> =
            serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        wire.check().map(|(metadata, _)| metadata).map_err(bad)
    }

    /// The name of the packaged chart: `NAME-VERSION.tgz`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }
}

/// The dependencies in a `requirements.yaml`. One that says more is refused: Helm reads it into the same structure
/// after `Chart.yaml`, so a `name` or `version` in it replaces the chart's.
fn read_requirements(bytes: &[u8]) -> Result<Dependencies> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Requirements {
        api_version: Option<IgnoredAny>,
        dependencies: Dependencies,
        name: Option<IgnoredAny>,
        r#type: Option<IgnoredAny>,
        version: Option<IgnoredAny>,
    }
    check_length(bytes, "requirements.yaml")?;
    let bad = |cause: String| bad("requirements.yaml", cause);
    let text = yaml_text(bytes).map_err(&bad)?;
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Dependencies::default());
    }
    yaml::<TopKeys>(text).map_err(&bad)?;
    let found = yaml::<Option<Requirements>>(text).map_err(&bad)?.unwrap_or_default();
    match found.api_version.or(found.name).or(found.r#type).or(found.version) {
        None => Ok(found.dependencies),
        Some(_) => {
            Err(bad("it would change the name, version, type or apiVersion of Chart.yaml".into()))
        }
    }
}

fn check_length(bytes: &[u8], place: &str) -> Result<()> {
    match bytes.len() > MAX_METADATA_BYTES {
        true => Err(bad(place, format!("it is longer than {MAX_METADATA_BYTES} bytes"))),
        false => Ok(()),
    }
}

fn bad(place: &str, cause: impl fmt::Display) -> Error {
    Error::refused(Reason::NotAChart, "not a chart").cause(format!("{place}: {cause}"))
}

/// UTF-8 text; a byte order mark is dropped, as Helm does.
pub(super) fn yaml_text(bytes: &[u8]) -> Result<&str, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    // YAML 1.1, which Helm reads, ends a line (and a comment) at these; YAML 1.2, and `str::lines`, do not.
    let lone_return = text.split('\r').skip(1).any(|rest| !rest.starts_with('\n'));
    if lone_return || text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Err("it holds a line break that some readers take for text".to_owned());
    }
    Ok(text)
}

pub(super) fn yaml<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    // The defaults refuse repeated keys, deep nesting and alias bombs; these bounds fit a Chart.yaml.
    let options = serde_saphyr::options! {
        // Helm lets a later `<<` win over an earlier key, others the key: `TopKeys` sees and refuses it.
        merge_keys: serde_saphyr::MergeKeyPolicy::AsOrdinary,
        // As in YAML 1.1, which Helm reads.
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_nodes: 100_000,
            max_total_scalar_bytes: 4 * MAX_METADATA_BYTES,
        },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.to_string();
        let line = line.lines().next().unwrap_or_default();
        line.chars().take(200).collect()
    })
}

/// Runs [`StrictKeys`] where a type is asked for.
struct TopKeys;

impl<'de> Deserialize<'de> for TopKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictKeys { merge: false, ..KEYS }.deserialize(deserializer).map(|()| Self)
    }
}

/// The document as it stands, before anything is checked; `D` is what is read of dependencies.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<D: Default> {
    #[serde(default)]
    api_version: Option<Scalar>,
    #[serde(default)]
    name: Option<Text>,
    #[serde(default)]
    version: Option<Text>,
    #[serde(default)]
    description: Option<Scalar>,
    #[serde(default)]
    app_version: Option<Scalar>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Option<Scalar>>>,
    #[serde(default)]
    dependencies: D,
    #[serde(default)]
    r#type: Option<Scalar>,
}

impl<D: Default> Wire<D> {
    fn check(self) -> Result<(ChartMetadata, D), String> {
        let name = self.name.map(|text| text.0).unwrap_or_default();
        check_name(&name)?;
        let version = self.version.map(|text| text.0).unwrap_or_default();
        if version.is_empty() {
            return Err("there is no version".to_owned());
        }
        if Version::parse(&version).is_err() {
            let shown: String = version.chars().take(64).collect();
            return Err(format!("version {shown:?} is no semantic version"));
        }
        let kind = self.r#type.map(|scalar| scalar.0).unwrap_or_default();
        if !["", "application", "library"].contains(&kind.as_str()) {
            let shown: String = kind.chars().take(64).collect();
            return Err(format!("type {shown:?} is neither application nor library"));
        }
        let annotations = self.annotations.unwrap_or_default().into_iter();
        let metadata = ChartMetadata {
            api_version: self
                .api_version
                .map(|scalar| scalar.0)
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "v1".to_owned()),
            name,
            version,
            description: self.description.map(|scalar| scalar.0),
            app_version: self.app_version.map(|scalar| scalar.0),
            annotations: annotations
                .map(|(key, value)| (key, value.map(|scalar| scalar.0).unwrap_or_default()))
                .collect(),
        };
        Ok((metadata, self.dependencies))
    }
}

/// What `helm create` accepts. Helm itself loads other names too, some of which escape a directory
/// (CVE-2026-35206) or a terminal; none of them can be pushed.
fn check_name(name: &str) -> Result<(), String> {
    let shown: String = name.chars().take(64).collect();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match name {
        "" => Err("there is no name".to_owned()),
        "." | ".." => Err(format!("name {shown:?} is not allowed")),
        _ if name.len() > MAX_NAME => Err(format!("the name is longer than {MAX_NAME} characters")),
        _ if !name.bytes().all(allowed) => {
            Err(format!("name {shown:?} holds more than letters, digits, '.', '_' and '-'"))
        }
        // Unquoted it is one to YAML 1.1, which drops the underscores; whether it was quoted is not known here.
        _ if is_number_of_yaml_1_1(name) => Err(format!("name {shown:?} can be read as a number")),
        _ => Ok(()),
    }
}

/// Whether Helm's YAML reader takes the unquoted text for a number although YAML 1.2 does not.
pub(super) fn is_number_of_yaml_1_1(text: &str) -> bool {
    if !text.contains('_') || !text.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c)) {
        return false;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    let digits = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let based = |prefix: &str, radix| {
        digits.strip_prefix(prefix).is_some_and(|rest| rest.chars().all(|c| c.is_digit(radix)))
    };
    plain.parse::<f64>().is_ok() || based("0x", 16) || based("0b", 2) || based("0o", 8)
}

/// A string and nothing else: an unquoted `1.10` is a number to Helm, which makes it `1.1`.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl Visitor<'_> for Strings {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text (quote it)")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Strings)
    }
}

/// Any scalar as text; only for what nobody decides by.
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalars;
        impl Visitor<'_> for Scalars {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    const GOOD: &str = "apiVersion: v2\nname: web\nversion: 1.4.2\nappVersion: 1.16\n\
        description: A web server\ntype: application\nkeywords: [a, b]\n\
        annotations:\n  category: Web\n  n: 7\n  Name: free\n\
        maintainers:\n- name: Bob\n  email: bob@example.com\n";

    #[test]
    fn reads_chart_yaml() {
        let metadata = ChartMetadata::from_yaml(GOOD.as_bytes()).unwrap();
        assert_eq!(metadata.api_version, "v2");
        assert_eq!((metadata.name.as_str(), metadata.version.as_str()), ("web", "1.4.2"));
        assert_eq!(metadata.description.as_deref(), Some("A web server"));
        assert_eq!(metadata.app_version.as_deref(), Some("1.16"));
        assert_eq!(metadata.annotations["category"], "Web");
        assert_eq!(metadata.annotations["n"], "7");
        assert_eq!(metadata.file_name(), "web-1.4.2.tgz");
        let with_mark = [b"\xef\xbb\xbf", GOOD.as_bytes()].concat();
        assert_eq!(ChartMetadata::from_yaml(&with_mark).unwrap(), metadata);
    }

    #[test]
    fn reads_the_config_blob() {
        let json = r#"{"name":"web","version":"1.4.2+b","annotations":null,"new":{"x":[1]},
            "dependencies":[{"name":"x"}],"deprecated":true}"#;
        let metadata = ChartMetadata::from_json(json.as_bytes()).unwrap();
        assert_eq!((metadata.api_version.as_str(), metadata.name.as_str()), ("v1", "web"));
        assert_eq!(metadata.version, "1.4.2+b");
    }

    #[test]
    fn refuses_names_and_versions_that_helm_refuses_or_that_could_hurt() {
        let long = "a".repeat(251);
        for name in [
            "\"\"",
            ".",
            "..",
            "a/b",
            "../web",
            "'a\\b'",
            "\"a b\"",
            "\"a\\nb\"",
            "\"a\\x1b[31m\"",
            "wéb",
            "c:web",
            "7",
            "1.5",
            "true",
            "on",
            "no",
            "null",
            "~",
            "[a]",
            "{a: b}",
            "0x10",
            &long,
        ] {
            let yaml = GOOD.replace("name: web", &format!("name: {name}"));
            let error = ChartMetadata::from_yaml(yaml.as_bytes()).unwrap_err();
            assert_eq!((error.class, error.reason), (Class::Refused, Reason::NotAChart), "{name}");
            assert!(error.to_string().contains("Chart.yaml"), "{error}");
        }
        for version in
            ["\"\"", "latest", "1", "1.10", "1.2.3.4", "1.2.x", "\"1.2.3 \"", "null", "[1]"]
        {
            let yaml = GOOD.replace("version: 1.4.2", &format!("version: {version}"));
            assert!(ChartMetadata::from_yaml(yaml.as_bytes()).is_err(), "{version}");
        }
        for version in ["v1.2.3", "\"1.10\"", "'1'", "1.0.0-rc.1+b"] {
            let yaml = GOOD.replace("version: 1.4.2", &format!("version: {version}"));
            assert!(ChartMetadata::from_yaml(yaml.as_bytes()).is_ok(), "{version}");
        }
    }

    #[test]
    fn refuses_documents_that_two_readers_read_differently() {
        for (yaml, why) in [
            (String::new(), ""),
            ("- a".to_owned(), ""),
            ("name: [".to_owned(), ""),
            (format!("{GOOD}name: other\n"), "uplicate"),
            (format!("{GOOD}Name: other\n"), "would be read as"),
            (format!("{GOOD}VERSION: 9.9.9\n"), "would be read as"),
            (format!("{GOOD}ver\u{17f}ion: 9.9.9\n"), "would be read as"),
            (format!("{GOOD}---\nname: other\nversion: 9.9.9\n"), ""),
            (format!("{GOOD}x: {}\n", "[".repeat(10_000)), ""),
            (format!("{GOOD}x: {}{}\n", "[".repeat(40), "]".repeat(40)), ""),
        ] {
            let error = ChartMetadata::from_yaml(yaml.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{yaml}: {error}");
        }
        for json in [
            r#"{"name":"web","version":"1.0.0","name":"other"}"#,
            r#"{"name":"web","version":"1.0.0","Version":"9.9.9"}"#,
            r#"{"name":"web","version":"1.0.0"} {}"#,
            r#"{"name":"web","version":1}"#,
            r#"{"version":"1.0.0"}"#,
            r#"{"name":"web"}"#,
            "[]",
            "",
        ] {
            assert!(ChartMetadata::from_json(json.as_bytes()).is_err(), "{json}");
        }
        assert!(ChartMetadata::from_yaml(b"name: \xff").is_err());
        assert!(ChartMetadata::from_yaml(&vec![b'#'; MAX_METADATA_BYTES + 1]).is_err());
        assert!(ChartMetadata::from_json(&vec![b' '; MAX_METADATA_BYTES + 1]).is_err());
    }

    #[test]
    fn refuses_an_alias_bomb_at_once() {
        let mut yaml = format!("{GOOD}a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let inner = vec![format!("*a{}", level - 1); 9].join(", ");
            yaml.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        assert!(ChartMetadata::from_yaml(yaml.as_bytes()).is_err());
    }

    #[test]
    fn refuses_a_type_that_helm_does_not_know() {
        for (kind, good) in [
            ("application", true),
            ("library", true),
            ("''", true),
            ("null", true),
            ("other", false),
            ("Library", false),
            ("7", false),
        ] {
            let yaml = GOOD.replace("type: application", &format!("type: {kind}"));
            assert_eq!(ChartMetadata::from_yaml(yaml.as_bytes()).is_ok(), good, "{kind}");
        }
    }

    #[test]
    fn dependencies_of_both_files_count() {
        let chart = format!("{GOOD}dependencies: [{{name: x, alias: y}}, {{name: z}}]\n");
        let read = |requirements: &str| {
            ChartMetadata::of_chart(chart.as_bytes(), Some(requirements.as_bytes()))
        };
        assert!(ChartMetadata::from_yaml(chart.as_bytes()).is_ok());
        assert!(read("# none\n").is_ok() && read("dependencies: [{name: x}]\n").is_ok());
        let error = read("dependencies: [{name: x}, {name: y}]\n").unwrap_err();
        assert!(error.to_string().contains("requirements.yaml: more than one"), "{error}");
        let chart = chart.replace("alias: y", "alias: ../y");
        let error = ChartMetadata::from_yaml(chart.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("Chart.yaml: alias \"../y\""), "{error}");
    }

    #[test]
    fn refuses_requirements_that_rename_the_chart() {
        for (yaml, good) in [
            ("", true),
            ("# nothing\n", true),
            ("dependencies:\n- name: x\n  version: 1.0.0\n  repository: ''\n", true),
            ("name: other\n", false),
            ("dependencies: []\nversion: 9.9.9\n", false),
            ("Name: other\n", false),
            ("apiVersion: v2\n", false),
            ("type: library\n", false),
            ("dependencies: [", false),
            ("dependencies: x\n", false),
        ] {
            assert_eq!(read_requirements(yaml.as_bytes()).is_ok(), good, "{yaml}");
        }
    }

    #[test]
    fn survives_mutated_metadata() {
        let mut random = crate::chart::tests::Random::new(4);
        for _ in 0..3_000 {
            let bytes = random.mutate(GOOD.as_bytes());
            if let Ok(metadata) = ChartMetadata::from_yaml(&bytes) {
                assert!(check_name(&metadata.name).is_ok());
            }
            let _ = read_requirements(&bytes);
        }
        let json = br#"{"name":"web","version":"1.4.2+b","annotations":{"a":"b"}}"#;
        for _ in 0..10_000 {
            let _ = ChartMetadata::from_json(&random.mutate(json));
        }
    }
}
