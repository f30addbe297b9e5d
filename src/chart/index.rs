//! An index of manifests, one of which is a chart (OCI image specification, image index).

use super::manifest::{
    ChartManifest, DOCKER_LIST, Descriptor, INDEX, MANIFEST, MAX_MANIFEST_BYTES, Manifest,
    claims_to_be_a_chart, essence, malformed, not_a_chart,
};
use crate::error::{Class, Error, Reason, Result};

/// Manifests in an index that are read to find the chart, at most.
const MAX_CANDIDATES: usize = 32;

/// An index of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestIndex {
    /// The index itself.
    pub descriptor: Descriptor,
    /// What it lists, in its order.
    pub entries: Vec<Descriptor>,
}

impl ManifestIndex {
    /// Those of its entries that may be a chart, each once: all image manifests, whatever else is said of
    /// them, because Helm looks into all of them too.
    ///
    /// # Errors
    /// Refused (`not-a-chart`): an index in the index, or an entry longer than any manifest. Undecided
    /// (`limit-reached`): more of them than are read.
    pub fn candidates(&self) -> Result<Vec<&Descriptor>> {
        let mut candidates: Vec<&Descriptor> = Vec::new();
        for entry in &self.entries {
            match essence(&entry.media_type).as_str() {
                INDEX | DOCKER_LIST => return Err(nested(entry)),
                // What has no type is what others take it for.
                MANIFEST | "" => {}
                _ => continue,
            }
            if entry.size > MAX_MANIFEST_BYTES as u64 {
                return Err(not_a_chart(format!(
                    "the index lists {} with {} bytes, more than {MAX_MANIFEST_BYTES}",
                    entry.digest, entry.size
                )));
            }
            if !candidates.iter().any(|known| known.digest == entry.digest) {
                candidates.push(entry);
            }
        }
        if candidates.len() > MAX_CANDIDATES {
            return Err(Error::undecided(
                Reason::LimitReached,
                format!(
                    "the index lists {} manifests; {MAX_CANDIDATES} are read to find the chart",
                    candidates.len()
                ),
            ));
        }
        Ok(candidates)
    }

    /// The one chart among `charts`, which are all that the index lists.
    ///
    /// # Errors
    /// Refused (`not-a-chart`), when there is none or more than one: Helm would take whichever comes last.
    pub fn only_chart(&self, mut charts: Vec<ChartManifest>) -> Result<ChartManifest> {
        let found = charts.len();
        if let (Some(mut chart), 1) = (charts.pop(), found) {
            chart.index = Some(self.descriptor.clone());
            return Ok(chart);
        }
        let cause = match found {
            0 => "the index holds no chart".to_owned(),
            _ => format!("the index holds {found} charts"),
        };
        Err(not_a_chart(cause).note("name the manifest of the chart by its digest"))
    }
}

/// Reads what an index lists: a chart, or nothing where it is clearly something else.
///
/// # Errors
/// Undecided (`malformed`), when it is no manifest or not as long as its descriptor says; refused
/// (`not-a-chart`), when it is an index, or a chart that is none.
pub fn parse_indexed(
    entry: &Descriptor,
    bytes: &[u8],
    media_type: Option<&str>,
) -> Result<Option<ChartManifest>> {
    let found = bytes.len() as u64;
    if found != entry.size {
        return Err(malformed(format!("the index is wrong about the size of {}", entry.digest))
            .expected_found(entry.size.to_string(), found.to_string()));
    }
    match Manifest::parse(bytes, media_type) {
        Ok(Manifest::Chart(chart)) => Ok(Some(*chart)),
        Ok(Manifest::Index(_)) => Err(nested(entry)),
        Err(error) if error.class == Class::Refused && !claims_to_be_a_chart(bytes) => Ok(None),
        Err(error) => Err(error.note(format!("in the index as {}", entry.digest))),
    }
}

fn nested(entry: &Descriptor) -> Error {
    not_a_chart(format!("the index holds another index, {}", entry.digest))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::manifest::{CHART_LAYER, CONFIG};
    use super::*;
    use crate::chart::Digest;

    fn layer(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x").to_string(), "size": 7})
    }

    fn manifest(config: &str, layers: &[&str]) -> Vec<u8> {
        let layers: Vec<_> = layers.iter().map(|kind| layer(kind)).collect();
        json!({"schemaVersion": 2, "config": layer(config), "layers": layers})
            .to_string()
            .into_bytes()
    }

    fn described(media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).to_string();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn index(entries: &[Value]) -> ManifestIndex {
        let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        match Manifest::parse(bytes.to_string().as_bytes(), Some(INDEX)).unwrap() {
            Manifest::Index(index) => *index,
            chart => panic!("{chart:?}"),
        }
    }

    fn read(bytes: &[u8]) -> Result<Option<ChartManifest>> {
        let list = index(&[described(MANIFEST, bytes)]);
        parse_indexed(list.candidates().unwrap()[0], bytes, Some(MANIFEST))
    }

    #[test]
    fn image_manifests_may_be_the_chart_and_everything_else_is_not_read() {
        let (one, other) = (described(MANIFEST, b"1"), described("", b"2"));
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        let list = index(&[one.clone(), described(docker, b"3"), other, one.clone()]);
        assert_eq!(list.candidates().unwrap().len(), 2);
        for kind in [INDEX, DOCKER_LIST] {
            let error = index(&[one.clone(), described(kind, b"4")]).candidates().unwrap_err();
            assert!(error.to_string().contains("holds another index"), "{error}");
            assert_eq!((error.class, error.reason), (Class::Refused, Reason::NotAChart));
        }
        let mut long = one;
        long["size"] = json!(MAX_MANIFEST_BYTES + 1);
        assert_eq!(index(&[long]).candidates().unwrap_err().reason, Reason::NotAChart);
        let many: Vec<_> = (0..=MAX_CANDIDATES).map(|n| described(MANIFEST, &[n as u8])).collect();
        assert_eq!(index(&many).candidates().unwrap_err().reason, Reason::LimitReached);
    }

    #[test]
    fn an_entry_is_a_chart_or_clearly_something_else() {
        let chart = read(&manifest(CONFIG, &[CHART_LAYER])).unwrap().unwrap();
        assert_eq!(chart.index, None);
        let image = "application/vnd.oci.image.config.v1+json";
        assert_eq!(read(&manifest(image, &["application/x"])).unwrap(), None);
        for broken in [manifest(CONFIG, &[]), manifest(CONFIG, &[CHART_LAYER, CHART_LAYER])] {
            assert_eq!(read(&broken).unwrap_err().reason, Reason::NotAChart);
        }
        let both =
            json!({"schemaVersion": 2, "layers": [], "config": layer(image), "manifests": []});
        assert_eq!(read(both.to_string().as_bytes()).unwrap_err().reason, Reason::NotAChart);
        assert_eq!(read(b"{").unwrap_err().reason, Reason::Malformed);
        let list = index(&[described(MANIFEST, b"chart")]);
        let error = parse_indexed(&list.entries[0], b"charts", None).unwrap_err();
        assert!(error.to_string().contains("wrong about the size"), "{error}");
    }

    #[test]
    fn exactly_one_chart_is_taken_and_remembers_its_index() {
        let chart = read(&manifest(CONFIG, &[CHART_LAYER])).unwrap().unwrap();
        let list = index(&[]);
        let found = list.only_chart(vec![chart.clone()]).unwrap();
        assert_eq!(found.index, Some(list.descriptor.clone()));
        for (charts, words) in [(vec![], "no chart"), (vec![chart.clone(), chart], "2 charts")] {
            let error = list.only_chart(charts).unwrap_err();
            assert_eq!(error.reason, Reason::NotAChart);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
