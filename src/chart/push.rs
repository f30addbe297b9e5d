//! What `helm push` makes of a packaged chart: config blob and manifest, byte for byte as Helm 3 and 4 write them.
//!
//! Both come from Go: fields in the order of Helm's structure, `encoding/json` with its escapes, keys of maps
//! sorted, layers sorted by digest, and no media type in the manifest itself. Text is sanitised as Helm does when it
//! loads a chart. Where Helm's YAML reader (1.1) and ours (1.2) would not read the same value, the chart is
//! refused: a manifest that is nearly Helm's is another manifest.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::archive::Archive;
use super::digest::Digest;
use super::manifest::{CHART_LAYER, CONFIG, PROV_LAYER};
use super::metadata::{self, is_number_of_yaml_1_1};
use super::sanitise::sanitise;
use super::strict::{Depth, StrictKeys};
use crate::error::{Error, Reason, Result};

/// Every field that Helm knows, so that no other spelling of one slips by.
const KEYS: &[&str] = &[
    "annotations",
    "apiVersion",
    "appVersion",
    "condition",
    "dependencies",
    "deprecated",
    "description",
    "home",
    "icon",
    "keywords",
    "kubeVersion",
    "maintainers",
    "name",
    "sources",
    "tags",
    "type",
    "version",
];
const MAINTAINER_KEYS: &[&str] = &["email", "name", "url"];
const DEPENDENCY_KEYS: &[&str] =
    &["alias", "condition", "enabled", "import-values", "name", "repository", "tags", "version"];
/// The largest whole number that Go's JSON and ours write alike.
const MAX_WHOLE: u64 = 1 << 53;

/// The documents that `helm push` stores for a packaged chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmPush {
    /// The config blob.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
}

impl HelmPush {
    /// Builds them for `archive`, with the provenance file `prov` as second layer. `created` is the time the
    /// archive was last written, in RFC 3339 and to the second.
    ///
    /// # Errors
    /// Refused (`not-a-chart`), when Helm would read Chart.yaml in another way, or not push it.
    pub fn of(archive: &Archive, prov: Option<&[u8]>, created: &str) -> Result<Self> {
        let metadata = Metadata::read(archive).map_err(|cause| {
            Error::refused(Reason::NotAChart, "chart cannot be pushed as helm does")
                .cause(cause)
                .note("`helm push` takes it, and its `Pushed:` and `Digest:` lines can be signed: sign -")
        })?;
        let config = go_json(&metadata);
        let mut layers = vec![Layer {
            media_type: CHART_LAYER,
            digest: archive.digest.to_string(),
            size: archive.size,
        }];
        layers.extend(prov.map(|bytes| Layer::of(PROV_LAYER, bytes)));
        layers.sort_by(|a, b| a.digest.cmp(&b.digest));
        let manifest = go_json(&Manifest {
            schema_version: 2,
            config: Layer::of(CONFIG, &config),
            layers,
            annotations: metadata.manifest_annotations(created),
        });
        Ok(Self { config, manifest })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    config: Layer,
    layers: Vec<Layer>,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: &'static str,
    digest: String,
    size: u64,
}

impl Layer {
    fn of(media_type: &'static str, bytes: &[u8]) -> Self {
        Self { media_type, digest: Digest::of(bytes).to_string(), size: bytes.len() as u64 }
    }
}

/// Helm's `chart.Metadata`, in the order of its fields; what is empty is left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    home: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keywords: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    maintainers: Vec<Maintainer>,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    condition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tags: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    app_version: String,
    #[serde(skip_serializing_if = "is_false")]
    deprecated: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    kube_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    kind: String,
}

#[derive(Debug, Serialize)]
struct Maintainer {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Dependency {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    repository: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    condition: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    import_values: Vec<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    alias: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Metadata {
    fn read(archive: &Archive) -> Result<Self, String> {
        let sources = &archive.sources;
        let mut fields = Fields::document(&sources.chart_yaml, "Chart.yaml")?;
        if let Some(bytes) = &sources.requirements {
            let mut requirements = Fields::document(bytes, "requirements.yaml")?;
            let dependencies = requirements.0.remove("dependencies");
            if KEYS.iter().any(|key| requirements.0.contains_key(*key)) {
                return Err("requirements.yaml holds more than dependencies".to_owned());
            }
            if let Some(dependencies) = dependencies
                && fields.0.insert("dependencies".to_owned(), dependencies).is_some()
            {
                return Err("Chart.yaml and requirements.yaml both hold dependencies".into());
            }
        }
        let kind = fields.text("type")?;
        let mut annotations = BTreeMap::new();
        for (key, value) in fields.map("annotations")? {
            if !is_key_read_alike(&key) {
                return Err(format!("annotations: key {key:?} may be something else to Helm"));
            }
            annotations.insert(key, text(&value)?);
        }
        let maintainers = fields.objects("maintainers", MAINTAINER_KEYS)?.into_iter().map(|one| {
            Ok(Maintainer {
                name: one.sanitised("name")?,
                email: one.sanitised("email")?,
                url: one.sanitised("url")?,
            })
        });
        let maintainers = maintainers.collect::<Result<_, String>>()?;
        let dependencies =
            fields.objects("dependencies", DEPENDENCY_KEYS)?.into_iter().map(|one| {
                Ok(Dependency {
                    name: one.sanitised("name")?,
                    version: one.sanitised("version")?,
                    repository: one.sanitised("repository")?,
                    condition: one.sanitised("condition")?,
                    tags: one.texts("tags")?,
                    enabled: one.switch("enabled")?,
                    import_values: match one.list("import-values")? {
                        values if values.iter().all(is_written_alike) => values,
                        _ => {
                            return Err(
                                "import-values hold what Helm may read in another way".into()
                            );
                        }
                    },
                    alias: one.text("alias")?,
                })
            });
        let dependencies = dependencies.collect::<Result<_, String>>()?;
        Ok(Self {
            name: archive.metadata.name.clone(),
            home: fields.sanitised("home")?,
            sources: fields.texts("sources")?,
            version: archive.metadata.version.clone(),
            description: fields.sanitised("description")?,
            keywords: fields.texts("keywords")?,
            maintainers,
            icon: fields.sanitised("icon")?,
            api_version: archive.metadata.api_version.clone(),
            condition: fields.sanitised("condition")?,
            tags: fields.sanitised("tags")?,
            app_version: fields.sanitised("appVersion")?,
            deprecated: fields.switch("deprecated")?,
            annotations,
            kube_version: fields.sanitised("kubeVersion")?,
            dependencies,
            kind,
        })
    }

    /// The annotations of the manifest: those of Chart.yaml may replace all but title and version.
    fn manifest_annotations(&self, created: &str) -> BTreeMap<String, String> {
        let mut authors = String::new();
        for (at, one) in self.maintainers.iter().enumerate() {
            authors.push_str(&one.name);
            if !one.email.is_empty() {
                authors.push_str(&format!(" ({})", one.email));
            }
            if at + 1 < self.maintainers.len() {
                authors.push_str(", ");
            }
        }
        let source = self.sources.first().map(String::as_str).unwrap_or_default();
        let own = [
            ("description", self.description.as_str()),
            ("title", &self.name),
            ("version", &self.version),
            ("url", &self.home),
            ("created", created),
            ("source", source),
            ("authors", &authors),
        ];
        let own = own.into_iter().filter(|(_, value)| !value.trim().is_empty());
        let own = own.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value));
        let mut all: BTreeMap<_, _> = own.map(|(key, value)| (key, value.to_owned())).collect();
        for (key, value) in &self.annotations {
            if !["title", "version"].iter().any(|fixed| {
                key.strip_prefix("org.opencontainers.image.").is_some_and(|rest| rest == *fixed)
            }) {
                all.insert(key.clone(), value.clone());
            }
        }
        all
    }
}

/// An object of a document.
struct Fields(Map<String, Value>);

impl Fields {
    fn document(bytes: &[u8], place: &str) -> Result<Self, String> {
        let source = metadata::yaml_text(bytes)?;
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if source.lines().all(blank) {
            return Ok(Self(Map::new()));
        }
        let value: Value = metadata::yaml(source).map_err(|cause| format!("{place}: {cause}"))?;
        match value {
            Value::Object(map) => Self::checked(map, KEYS),
            _ => Err(format!("{place} is no mapping")),
        }
    }

    /// Refuses keys that Go would take for a known one.
    fn checked(map: Map<String, Value>, known: &'static [&'static str]) -> Result<Self, String> {
        if map.contains_key("<<") {
            return Err("a merge key is read in two ways".to_owned());
        }
        let keys = StrictKeys { known, depth: Depth::Top, merge: false };
        match map.keys().find_map(|key| keys.confusable(key).map(|known| (key, known))) {
            Some((key, known)) => Err(format!("key {key:?} would be read as {known:?} by Helm")),
            None => Ok(Self(map)),
        }
    }

    fn text(&self, key: &str) -> Result<String, String> {
        match self.0.get(key) {
            None => Ok(String::new()),
            Some(value) => text(value).map_err(|cause| format!("{key}: {cause}")),
        }
    }

    fn sanitised(&self, key: &str) -> Result<String, String> {
        Ok(sanitise(&self.text(key)?))
    }

    fn switch(&self, key: &str) -> Result<bool, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(format!("{key} is neither true nor false")),
        }
    }

    fn list(&self, key: &str) -> Result<Vec<Value>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values.clone()),
            Some(_) => Err(format!("{key} is no list")),
        }
    }

    /// Texts, sanitised.
    fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        self.list(key)?.iter().map(|value| Ok(sanitise(&text(value)?))).collect()
    }

    fn map(&self, key: &str) -> Result<Map<String, Value>, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(format!("{key} is no mapping")),
        }
    }

    fn objects(&self, key: &str, known: &'static [&'static str]) -> Result<Vec<Self>, String> {
        let objects = self.list(key)?.into_iter().map(|value| match value {
            Value::Object(map) => Self::checked(map, known),
            _ => Err(format!("{key} hold something that is no mapping")),
        });
        objects.collect()
    }
}

/// A scalar as the text that Helm's YAML reader makes of it.
fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::String(text) if is_read_alike(text) => Ok(text.clone()),
        Value::String(text) => Err(format!("{text:?} may be something else to Helm")),
        Value::Number(number) if number.is_f64() => {
            let written = number.as_f64().and_then(go_float);
            written.ok_or_else(|| format!("{number} is no number to Helm; quote it"))
        }
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(_) | Value::Object(_) => Err("it is no text".to_owned()),
    }
}

/// A number as Helm's YAML reader makes text of it: Go's `strconv.FormatFloat(value, 'g', -1, 32)`, the shortest digits
/// that are the same number in single precision. Nothing where it has none there.
fn go_float(value: f64) -> Option<String> {
    let single = value as f32;
    if !single.is_finite() {
        return None;
    }
    let shortest = format!("{single:e}");
    let count = shortest.split('e').next()?.bytes().filter(u8::is_ascii_digit).count();
    // So many digits once more: of two that are equally near, Go takes the even one.
    let scientific = format!("{single:.*e}", count.saturating_sub(1));
    let (digits, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..6).contains(&exponent) {
        let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
        let places = i32::try_from(behind).ok()?.saturating_sub(exponent).max(0);
        return Some(format!("{single:.*}", usize::try_from(places).ok()?));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{digits}e{sign}{:02}", exponent.abs()))
}

/// Whether the text, quoted or not, is the same to YAML 1.1 and 1.2. That it was quoted is not known here.
fn is_read_alike(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = digits.len() > 1
        && (digits.starts_with("0b") || digits.starts_with("0o") || digits.starts_with("0x"))
        && digits.get(2..).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()));
    // Octal to one, decimal or text to the other.
    let octal =
        digits.len() > 1 && digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit());
    !number && !octal && !is_number_of_yaml_1_1(text)
}

/// The same of a key, which may be a switch, a number or nothing to Helm, and is text here.
fn is_key_read_alike(key: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ""];
    let number = key.parse::<f64>().is_ok() && key.parse::<i64>().is_err();
    !words.iter().any(|word| word.eq_ignore_ascii_case(key)) && !number && is_read_alike(key)
}

/// Whether Go's JSON and ours write the value alike.
fn is_written_alike(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_u64().is_some_and(|n| n <= MAX_WHOLE)
                || number.as_i64().is_some_and(|n| n.unsigned_abs() <= MAX_WHOLE)
        }
        Value::Array(values) => values.iter().all(is_written_alike),
        Value::Object(map) => {
            map.iter().all(|(key, value)| is_key_read_alike(key) && is_written_alike(value))
        }
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => is_read_alike(text),
    }
}

/// JSON as Go's `json.Marshal` writes it.
fn go_json(value: &impl Serialize) -> Vec<u8> {
    // Plain data with text keys, which always has a JSON form.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // They can stand only inside a string.
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped.into_bytes()
}

#[cfg(test)]
mod tests;
