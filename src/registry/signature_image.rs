//! The image under a tag `sha256-HEX.sig`: its layers are cosign's legacy signatures, each with its proof as
//! annotations.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::manifest::{Descriptor, Fields, document, json};
use crate::chart::{Digest, MANIFEST, MAX_MANIFEST_BYTES};
use crate::error::{Error, Reason, Result};

/// The media type of an image's config.
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// What cosign calls such an image where it refers to its subject (its OCI 1.1 experiment).
const SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// Layers, at most; cosign reads as many.
const MAX_LAYERS: usize = 1000;
/// When nobody says when something was made, as Go has it.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// One layer: as somebody wrote it, and what we make of it.
#[derive(Clone, Debug)]
struct Layer {
    raw: Box<RawValue>,
    descriptor: Descriptor,
}

/// A signature image whose foreign layers stay as they are, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct SignatureImage {
    /// Everything but config and layers, in order.
    fields: Vec<(String, Box<RawValue>)>,
    layers: Vec<Layer>,
}

/// A manifest and the config that it names, ready to be stored: the config first.
#[derive(Clone, Debug)]
pub struct ImageParts {
    /// The config.
    pub config: Bytes,
    /// The manifest.
    pub manifest: Bytes,
}

impl SignatureImage {
    /// Reads such an image; nothing if the document is JSON and something else, which is not ours to change.
    ///
    /// # Errors
    ///
    /// A phrase, if it is no JSON object, or holds a key twice.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Option<Self>, String> {
        let Fields(mut fields) = serde_json::from_slice(bytes).map_err(|error| {
            format!("the manifest is not valid JSON at column {}", error.column())
        })?;
        if fields.iter().any(|(name, _)| matches!(name.as_str(), "manifests" | "subject")) {
            return Ok(None);
        }
        let Some(at) = fields.iter().position(|(name, _)| name == "layers") else {
            return Ok(None);
        };
        let (_, raw) = fields.remove(at);
        fields.retain(|(name, _)| name != "config");
        let Ok(layers) = serde_json::from_str::<Option<Vec<Box<RawValue>>>>(raw.get()) else {
            return Ok(None);
        };
        let layer = |raw: Box<RawValue>| {
            let descriptor = serde_json::from_str(raw.get()).ok()?;
            Some(Layer { raw, descriptor })
        };
        let layers: Option<Vec<_>> = layers.into_iter().flatten().map(layer).collect();
        Ok(layers.map(|layers| Self { fields, layers }))
    }

    /// Whether this very layer, annotations included, is there.
    pub fn contains(&self, layer: &Descriptor) -> bool {
        self.layers.iter().any(|one| one.descriptor == *layer)
    }

    /// The layers, in order.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &Descriptor> {
        self.layers.iter().map(|one| &one.descriptor)
    }

    /// The image with `layer` at its end. The other layers do not change; the config is the one that belongs to
    /// them all, as who appends after us reads it.
    ///
    /// # Errors
    ///
    /// Undecided (`limit-reached`), if nobody could read the result.
    pub fn with(&self, layer: &Descriptor) -> Result<ImageParts> {
        let kept = self.layers.iter().map(|one| (one.descriptor.digest, one.raw.get().to_owned()));
        let layers: Vec<_> = kept.chain([(layer.digest, json(layer))]).collect();
        let parts = self.parts(&layers);
        if layers.len() > MAX_LAYERS || parts.manifest.len() > MAX_MANIFEST_BYTES {
            let cause = format!("the signature image would have {} layers", layers.len());
            return Err(Error::undecided(Reason::LimitReached, cause)
                .note(format!("{MAX_LAYERS} layers and {MAX_MANIFEST_BYTES} bytes are read")));
        }
        Ok(parts)
    }

    /// The image without these very layers, annotations included: another signature over the same payload stays.
    /// The other layers do not change.
    pub fn without(&self, layers: &[Descriptor]) -> ImageParts {
        let kept = self.layers.iter().filter(|one| !layers.contains(&one.descriptor));
        let kept = kept.map(|one| (one.descriptor.digest, one.raw.get().to_owned()));
        self.parts(&kept.collect::<Vec<_>>())
    }

    fn parts(&self, layers: &[(Digest, String)]) -> ImageParts {
        let config = config(&layers.iter().map(|(digest, _)| *digest).collect::<Vec<_>>());
        let described = format!("\"config\":{}", json(&Descriptor::of(IMAGE_CONFIG, &config)));
        let layers: Vec<String> = layers.iter().map(|(_, text)| text.clone()).collect();
        let manifest = document(&self.fields, MANIFEST, &[described], "layers", &layers);
        ImageParts { config, manifest: manifest.into() }
    }

    /// An image of this one layer that refers to `subject`, and its entry for the index under a fallback tag.
    pub fn referring(subject: &Descriptor, layer: &Descriptor) -> (ImageParts, Descriptor) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Document<'a> {
            schema_version: u8,
            media_type: &'a str,
            artifact_type: &'a str,
            config: Descriptor,
            layers: [&'a Descriptor; 1],
            subject: &'a Descriptor,
        }
        let config = config(&[layer.digest]);
        let manifest = json(&Document {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: SIGNATURE_ARTIFACT,
            config: Descriptor::of(SIGNATURE_ARTIFACT, &config),
            layers: [layer],
            subject,
        });
        let mut entry = Descriptor::of(MANIFEST, manifest.as_bytes());
        entry.artifact_type = Some(SIGNATURE_ARTIFACT.to_owned());
        (ImageParts { config, manifest: manifest.into() }, entry)
    }
}

/// The config of an image with these layers, which are not compressed, as cosign writes it.
fn config(diff_ids: &[Digest]) -> Bytes {
    #[derive(Serialize)]
    struct Config<'a> {
        architecture: &'a str,
        created: &'a str,
        history: Vec<History>,
        os: &'a str,
        rootfs: RootFs<'a>,
        config: Nothing,
    }
    #[derive(Serialize)]
    struct History {
        created: &'static str,
    }
    #[derive(Serialize)]
    struct RootFs<'a> {
        r#type: &'a str,
        diff_ids: Vec<String>,
    }
    #[derive(Serialize)]
    struct Nothing {}
    json(&Config {
        architecture: "",
        created: NO_TIME,
        history: diff_ids.iter().map(|_| History { created: NO_TIME }).collect(),
        os: "",
        rootfs: RootFs {
            r#type: "layers",
            diff_ids: diff_ids.iter().map(ToString::to_string).collect(),
        },
        config: Nothing {},
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Descriptor {
        let mut layer = Descriptor::of("m", b"payload");
        layer.annotations.insert("signature".into(), text.into());
        layer
    }

    #[test]
    fn appends_a_layer_and_leaves_the_others_byte_for_byte() {
        let first = SignatureImage::default().with(&layer("a")).unwrap();
        let odd = String::from_utf8(first.manifest.to_vec()).unwrap();
        let odd = odd
            .replace(r#""layers":[{"#, r#""annotations":{ "x":"y" }, "layers":[ {"odd" : 1.50, "#);
        let read = SignatureImage::parse(odd.as_bytes()).unwrap().unwrap();
        assert!(read.contains(&layer("a")) && !read.contains(&layer("b")));
        let second = read.with(&layer("b")).unwrap();
        let text = String::from_utf8(second.manifest.to_vec()).unwrap();
        assert!(
            text.contains(r#"{"odd" : 1.50, "#) && text.contains(r#""annotations":{ "x":"y" }"#)
        );
        let again = SignatureImage::parse(text.as_bytes()).unwrap().unwrap();
        // The same payload twice: two signatures.
        assert!(again.contains(&layer("a")) && again.contains(&layer("b")));
        let config: serde_json::Value = serde_json::from_slice(&second.config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
        assert_eq!(config["history"].as_array().unwrap().len(), 2);
        assert!(text.contains(&Digest::of(&second.config).to_string()));
        assert!(!text.contains(&Digest::of(&first.config).to_string()));
    }

    #[test]
    fn takes_one_layer_out_and_no_other_of_the_same_payload() {
        let parts = SignatureImage::default().with(&layer("a")).unwrap();
        let image = SignatureImage::parse(&parts.manifest).unwrap().unwrap();
        let two = image.with(&layer("b")).unwrap();
        let image = SignatureImage::parse(&two.manifest).unwrap().unwrap();
        let left = image.without(&[layer("a"), layer("never there")]);
        let left = SignatureImage::parse(&left.manifest).unwrap().unwrap();
        assert!(!left.contains(&layer("a")) && left.contains(&layer("b")));
        let none = left.without(&[layer("b")]);
        let config: serde_json::Value = serde_json::from_slice(&none.config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!([]));
        let none = SignatureImage::parse(&none.manifest).unwrap().unwrap();
        assert_eq!(none.layers().len(), 0);
        // What is written next is as if nothing had ever been there.
        let again = none.with(&layer("a")).unwrap();
        assert_eq!(again.manifest, parts.manifest);
    }

    #[test]
    fn what_is_something_else_is_not_ours_to_change() {
        for text in [
            "{}",
            r#"{"manifests":[]}"#,
            r#"{"layers":[],"subject":{}}"#,
            r#"{"layers":{}}"#,
            r#"{"layers":[{"digest":"x"}]}"#,
        ] {
            assert!(SignatureImage::parse(text.as_bytes()).unwrap().is_none(), "{text}");
        }
        for text in ["", "[]", r#"{"layers":[],"layers":[]}"#] {
            assert!(SignatureImage::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn more_layers_than_anybody_reads_are_not_written() {
        let many = vec![
            r#"{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
            MAX_LAYERS
        ];
        let full = format!(r#"{{"layers":[{}]}}"#, many.join(","));
        let full = SignatureImage::parse(full.as_bytes()).unwrap().unwrap();
        assert_eq!(full.with(&layer("a")).unwrap_err().reason, Reason::LimitReached);
    }
}
