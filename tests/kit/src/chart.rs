//! Packaged charts as `helm package` writes them, with bytes that depend on the input alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

/// Modification time of every archive entry and of the files that [`Chart::write_to`] writes,
/// in seconds since 1970: 2026-01-01T00:00:00Z. `helm push` copies a file's time into the
/// manifest (`org.opencontainers.image.created`), so it must not vary.
pub const MODIFIED: u64 = 1_767_225_600;

/// [`MODIFIED`] as it stands in a manifest's annotations.
pub const CREATED: &str = "2026-01-01T00:00:00Z";

/// A chart to be packaged: a builder whose `tgz` is deterministic.
///
/// ```
/// let chart = helm_sigstore_kit::chart::Chart::new("web", "1.4.2").description("a web server");
/// assert_eq!(chart.file_name(), "web-1.4.2.tgz");
/// assert_eq!(chart.tgz(), chart.clone().tgz());
/// ```
#[derive(Clone, Debug)]
pub struct Chart {
    name: String,
    version: String,
    description: Option<String>,
    annotations: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    chart_yaml: Option<String>,
    config: Option<Vec<u8>>,
    provenance: Option<Vec<u8>>,
    tgz: Option<Vec<u8>>,
}

impl Chart {
    /// A small chart: `Chart.yaml`, `values.yaml` and one template.
    pub fn new(name: &str, version: &str) -> Chart {
        Chart {
            name: name.to_owned(),
            version: version.to_owned(),
            description: None,
            annotations: Vec::new(),
            files: vec![
                ("values.yaml".to_owned(), b"replicas: 1\n".to_vec()),
                ("templates/configmap.yaml".to_owned(), TEMPLATE.as_bytes().to_vec()),
            ],
            chart_yaml: None,
            config: None,
            provenance: None,
            tgz: None,
        }
    }

    /// Sets `description` of `Chart.yaml`.
    pub fn description(mut self, text: &str) -> Chart {
        self.description = Some(text.to_owned());
        self
    }

    /// Adds one entry to `annotations` of `Chart.yaml`; `helm push` copies them to the manifest.
    pub fn annotation(mut self, key: &str, value: &str) -> Chart {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a file, or replaces the one of that path. `path` is relative to the chart's folder.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Chart {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Writes this text as `Chart.yaml` in place of the generated one. The config of a push still
    /// comes from name and version, unless [`Chart::config`] replaces it too.
    pub fn chart_yaml(mut self, text: &str) -> Chart {
        self.chart_yaml = Some(text.to_owned());
        self
    }

    /// Pushes these bytes as config blob in place of the generated JSON.
    pub fn config(mut self, bytes: impl Into<Vec<u8>>) -> Chart {
        self.config = Some(bytes.into());
        self
    }

    /// Pushes these bytes as `.prov` layer, and writes them beside the archive.
    pub fn provenance(mut self, bytes: impl Into<Vec<u8>>) -> Chart {
        self.provenance = Some(bytes.into());
        self
    }

    /// Uses these bytes as the archive, whatever they are (a bomb, another chart, not an archive).
    pub fn archive(mut self, bytes: impl Into<Vec<u8>>) -> Chart {
        self.tgz = Some(bytes.into());
        self
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The chart's version, with `+` where it has build metadata.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The tag that `helm push` gives the chart: its version with `_` for `+`.
    pub fn tag(&self) -> String {
        self.version.replace('+', "_")
    }

    /// `NAME-VERSION.tgz`.
    pub fn file_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }

    /// The provenance bytes, if any were given.
    pub fn provenance_bytes(&self) -> Option<&[u8]> {
        self.provenance.as_deref()
    }

    /// The config blob as `helm push` builds it: `Chart.yaml` as JSON, in the field order of Helm's
    /// own type.
    pub fn config_json(&self) -> Vec<u8> {
        if let Some(bytes) = &self.config {
            return bytes.clone();
        }
        // Written by hand because the order matters for the digest and a JSON map would sort.
        let mut text =
            format!("{{\"name\":{},\"version\":{}", quote(&self.name), quote(&self.version));
        if let Some(description) = &self.description {
            text += &format!(",\"description\":{}", quote(description));
        }
        text += ",\"apiVersion\":\"v2\",\"appVersion\":\"1.0.0\"";
        if !self.annotations.is_empty() {
            text += &format!(",\"annotations\":{}", json!(self.annotation_map()));
        }
        text += ",\"type\":\"application\"}";
        text.into_bytes()
    }

    /// The annotations that `helm push` writes into the manifest.
    pub fn manifest_annotations(&self) -> BTreeMap<String, String> {
        let mut map = self.annotation_map();
        if let Some(description) = &self.description {
            map.insert("org.opencontainers.image.description".to_owned(), description.clone());
        }
        map.insert("org.opencontainers.image.created".to_owned(), CREATED.to_owned());
        map.insert("org.opencontainers.image.title".to_owned(), self.name.clone());
        map.insert("org.opencontainers.image.version".to_owned(), self.version.clone());
        map
    }

    /// The packaged chart.
    pub fn tgz(&self) -> Vec<u8> {
        if let Some(bytes) = &self.tgz {
            return bytes.clone();
        }
        let yaml = self.chart_yaml.clone().unwrap_or_else(|| self.generated_yaml());
        let mut entries = vec![("Chart.yaml", yaml.as_bytes())];
        entries.extend(self.files.iter().map(|(path, content)| (path.as_str(), &content[..])));
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(path, content)| (format!("{}/{path}", self.name), content))
            .collect();
        gzip(&tar(&entries).expect("a chart of the kit fits a tar archive"))
    }

    /// Writes `NAME-VERSION.tgz`, and `NAME-VERSION.tgz.prov` where there is provenance, into `dir`
    /// and returns the archive's path.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_to(&self, dir: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = dir.as_ref().join(self.file_name());
        write_dated(&path, &self.tgz())?;
        if let Some(provenance) = &self.provenance {
            write_dated(&dir.as_ref().join(self.file_name() + ".prov"), provenance)?;
        }
        Ok(path)
    }

    /// Writes the unpacked chart as folder `NAME` into `dir` and returns its path.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_unpacked(&self, dir: impl AsRef<Path>) -> io::Result<PathBuf> {
        let root = dir.as_ref().join(&self.name);
        fs::create_dir_all(&root)?;
        let yaml = self.chart_yaml.clone().unwrap_or_else(|| self.generated_yaml());
        fs::write(root.join("Chart.yaml"), yaml)?;
        for (path, content) in &self.files {
            let path = root.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, content)?;
        }
        Ok(root)
    }

    fn generated_yaml(&self) -> String {
        // JSON strings are YAML strings, so quoting needs no YAML writer.
        let mut text = "apiVersion: v2\nappVersion: 1.0.0\n".to_owned();
        if !self.annotations.is_empty() {
            text += &format!("annotations: {}\n", json!(self.annotation_map()));
        }
        if let Some(description) = &self.description {
            text += &format!("description: {}\n", quote(description));
        }
        text += &format!("name: {}\ntype: application\n", quote(&self.name));
        text += &format!("version: {}\n", quote(&self.version));
        text
    }

    // A sorted map of our own: Go sorts keys, and `serde_json`'s map may or may not.
    fn annotation_map(&self) -> BTreeMap<String, String> {
        self.annotations.iter().cloned().collect()
    }
}

/// A tar archive of these files (path, content), in this order. Paths are written as given, so that
/// a test can also write hostile ones.
///
/// # Errors
/// A path longer than a header can hold where the long-name extension does not apply.
pub fn tar(entries: &[(String, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_ustar();
        // `append_data` would refuse `..` and absolute paths, which tests need.
        let name = header.as_old_mut().name.get_mut(..path.len());
        let name = name.ok_or_else(|| io::Error::other("path longer than 100 bytes"))?;
        name.copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(MODIFIED);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive.append(&header, *content)?;
    }
    archive.into_inner()
}

/// `bytes` as one gzip member without time or name.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    writer.write_all(bytes).expect("writing to memory does not fail");
    writer.finish().expect("writing to memory does not fail")
}

fn write_dated(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED))
}

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

const TEMPLATE: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-{{ .Chart.Name }}
data:
  replicas: {{ .Values.replicas | quote }}
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn unpack(tgz: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tgz));
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.push((entry.path().unwrap().to_string_lossy().into_owned(), content));
        }
        files
    }

    #[test]
    fn packages_a_chart_in_a_folder_of_its_name() {
        let chart = Chart::new("web", "1.4.2").file("README.md", "hello");
        let files = unpack(&chart.tgz());
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["web/Chart.yaml", "web/values.yaml", "web/templates/configmap.yaml", "web/README.md"]
        );
        assert!(String::from_utf8_lossy(&files[0].1).contains("version: \"1.4.2\""));
    }

    #[test]
    fn same_input_gives_same_bytes() {
        assert_eq!(Chart::new("web", "1.4.2").tgz(), Chart::new("web", "1.4.2").tgz());
        assert_ne!(Chart::new("web", "1.4.2").tgz(), Chart::new("web", "1.4.3").tgz());
    }

    #[test]
    fn writes_archive_and_provenance_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let chart = Chart::new("web", "1.4.2+b.5").provenance("signed");
        let path = chart.write_to(dir.path()).unwrap();
        assert_eq!(path.file_name().unwrap(), "web-1.4.2+b.5.tgz");
        assert_eq!(fs::read(&path).unwrap(), chart.tgz());
        assert_eq!(fs::read(dir.path().join("web-1.4.2+b.5.tgz.prov")).unwrap(), b"signed");
    }

    #[test]
    fn hostile_paths_are_written_as_given() {
        let bytes = tar(&[("../../etc/passwd".to_owned(), b"x")]).unwrap();
        assert_eq!(unpack(&gzip(&bytes))[0].0, "../../etc/passwd");
    }
}
