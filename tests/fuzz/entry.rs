//! What is fuzzed: one function a target, and what has to hold for any bytes, beside that nothing panics. The fuzz
//! targets and the ordinary tests call the same functions.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use helm_sigstore::chart::version::{
    Constraint, TagMeaning, Version, lookup, newest_first, select,
};
use helm_sigstore::chart::{
    Archive, Argument, ChartMetadata, ChartReference, Digest, MAX_MANIFEST_BYTES, Manifest,
    PathKind, RepositoryPrefix, parse_indexed,
};
use helm_sigstore::net::header::{HeaderMap, HeaderValue, LINK, WWW_AUTHENTICATE};
use helm_sigstore::registry::{Descriptor, Index, ReferrerManifest, challenges, next_link};

/// What a user types: a reference, the target of a push, a version, tags.
pub(crate) fn reference(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (front, rest) = text.split_once('\n').unwrap_or((&text, ""));
    for kind in [PathKind::File, PathKind::Directory, PathKind::Missing] {
        let _ = Argument::parse(front, |_| kind);
    }
    if let Ok(prefix) = RepositoryPrefix::parse(front)
        && let Ok(chart) = prefix.chart("web", rest)
    {
        assert_eq!(ChartReference::parse(&chart.typed).as_ref(), Ok(&chart));
    }
    let tags: Vec<String> = rest.lines().map(str::to_owned).collect();
    let newest = newest_first(&tags, 2);
    assert!(newest.len() <= 2 && newest.iter().all(|tag| tags.contains(tag)));
    if let Ok(chosen) = select(&tags, front, true) {
        assert!(tags.contains(&chosen.tag));
    }
    if let Ok(constraint) = Constraint::parse(front) {
        for tag in &tags {
            let _ = Version::parse(tag).map(|version| constraint.check(&version));
            let _ = TagMeaning::of(tag).admits(front);
        }
    }
    let Ok(reference) = ChartReference::parse(front) else { return };
    assert_eq!(reference.typed, front);
    // What is printed for others to paste means the same.
    let again = ChartReference::parse(&reference.repository_ref());
    assert!(again.is_ok_and(|a| a.host == reference.host && a.repository == reference.repository));
    if let Some(digest) = &reference.digest {
        let pinned = ChartReference::parse(&reference.with_digest(digest));
        assert!(pinned.is_ok_and(|pinned| pinned.digest == reference.digest));
    }
    if let Some(wire) = reference.wire_reference() {
        // It becomes a part of a URL.
        assert!(wire.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b)), "{wire}");
    }
    let _ = lookup(&reference, tags.first().map(String::as_str), true);
}

/// What a registry says a manifest, an index of manifests, an index of referrers or a referrer is.
pub(crate) fn manifest(data: &[u8]) {
    for media_type in [
        None,
        Some("application/vnd.oci.image.manifest.v1+json"),
        Some("application/vnd.oci.image.index.v1+json; charset=utf-8"),
    ] {
        match Manifest::parse(data, media_type) {
            Ok(Manifest::Chart(chart)) => {
                assert_eq!(chart.digest, Digest::of(data));
                assert_eq!(chart.size, data.len() as u64);
            }
            Ok(Manifest::Index(index)) => {
                for entry in index.candidates().unwrap_or_default() {
                    assert!(entry.size <= MAX_MANIFEST_BYTES as u64);
                    let _ = parse_indexed(entry, data, media_type);
                }
            }
            Err(_) => {}
        }
    }
    let _ = ChartMetadata::from_json(data);
    if let Ok(referrer) = ReferrerManifest::parse(data) {
        for layer in &referrer.layers {
            if let Ok(Some(bytes)) = layer.inlined() {
                assert_eq!((Digest::of(&bytes), bytes.len() as u64), (layer.digest, layer.size));
            }
        }
    }
    let Ok(Some(index)) = Index::parse(data) else { return };
    let entry = Descriptor::of("application/vnd.oci.image.manifest.v1+json", b"new");
    let before = index.entries().len();
    let Ok(written) = index.with(&entry) else { return };
    // Whatever others wrote is still there, and ours stands once.
    let again = Index::parse(&written).ok().flatten();
    assert!(again.is_some_and(|again| {
        let added = usize::from(!index.contains(&entry.digest));
        again.entries().len() == before + added && again.contains(&entry.digest)
    }));
}

/// What a registry says in `WWW-Authenticate` and `Link`, a value a line.
pub(crate) fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { continue };
        headers.append(WWW_AUTHENTICATE, value.clone());
        headers.append(LINK, value);
    }
    let found = challenges(&headers);
    assert!(found.len() <= 16, "{} challenges", found.len());
    for challenge in &found {
        assert!(!challenge.scheme.is_empty());
        let _ = challenge.parameter("realm");
    }
    if let Some(link) = next_link(&headers) {
        assert!(!link.contains('>') && data.len() > link.len(), "{link}");
    }
}

/// What is in a packaged chart: the bytes as they are, and packed as a tar.
pub(crate) fn archive(data: &[u8]) {
    let _ = ChartMetadata::from_yaml(data);
    whole(data);
    read(data);
}

/// Reads `tar`, packed and with the right checksums in its headers, which no mutation finds by itself; the name of
/// the chart in it.
pub(crate) fn read(tar: &[u8]) -> Option<String> {
    let mut tar = tar.to_vec();
    for block in tar.as_chunks_mut::<512>().0 {
        // A block that claims a checksum is a header.
        if block[148..156] != [0; 8] {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(&tar).ok()?;
    whole(&packed.finish().ok()?)
}

fn whole(bytes: &[u8]) -> Option<String> {
    let archive = Archive::read(bytes).ok()?;
    assert_eq!((archive.digest, archive.size), (Digest::of(bytes), bytes.len() as u64));
    // A name that became a path was the end of others.
    assert!(!archive.name().contains(['/', '\\']) && !matches!(archive.name(), "" | "." | ".."));
    let file_name = archive.metadata.file_name();
    assert!(archive.check_file_name(&file_name).is_ok(), "{file_name}");
    Some(archive.name().to_owned())
}
