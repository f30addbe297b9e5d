//! The fuzz targets of tests/fuzz without a fuzzer: their seeds, what was found once, and thousands of mutations of
//! both, through the same functions.

use std::path::Path;

#[path = "../fuzz/entry.rs"]
mod entry;
#[path = "../fuzz/seeds.rs"]
mod seeds;

type Target = (&'static str, fn(&[u8]), usize);

/// The targets, and how often each mutates: what unpacks takes longer.
const TARGETS: [Target; 4] = [
    ("reference", entry::reference, 3_000),
    ("manifest", entry::manifest, 1_500),
    ("headers", entry::headers, 3_000),
    ("archive", entry::archive, 1_500),
];

/// What a fuzzer found once; nothing where it never found anything.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A small seeded generator (SplitMix64): the same bytes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (end.max(1) as u64)).unwrap()
    }

    /// A few edits: bits turned, bytes put in or taken out, pieces repeated, another seed's tail, a cut.
    fn mutate(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 => bytes.insert(at, b"{}[]\",:/@.\0*|-_ 9\n=<>"[self.below(21)]),
                3 if at < bytes.len() => {
                    bytes.remove(at);
                }
                4 => {
                    let end = at + self.below((bytes.len() - at).min(600));
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                5 => {
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[self.below(other.len())..]);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

#[test]
fn no_seed_no_finding_and_no_mutation_of_them_breaks_what_has_to_hold() {
    for (target, function, mutations) in TARGETS {
        let mut inputs = seeds::of(target);
        assert!(inputs.len() > 5, "{target} has no seeds");
        if std::env::var_os("HELM_SIGSTORE_WRITE_SEEDS").is_some_and(|value| value == "1") {
            let folder =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
            std::fs::create_dir_all(&folder).unwrap();
            for (at, seed) in inputs.iter().enumerate() {
                std::fs::write(folder.join(at.to_string()), seed).unwrap();
            }
        }
        inputs.extend(corpus(target));
        for input in &inputs {
            function(input);
        }
        let mut random = Random(1);
        for _ in 0..mutations {
            let (seed, other) = (random.below(inputs.len()), random.below(inputs.len()));
            function(&random.mutate(&inputs[seed], &inputs[other]));
        }
    }
}

#[test]
fn the_seeds_reach_what_they_are_for() {
    use helm_sigstore::chart::{ChartReference, Manifest};
    let parsed = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        ChartReference::parse(text.lines().next().unwrap_or_default()).is_ok()
    };
    assert!(seeds::of("reference").iter().any(|seed| parsed(seed)));
    let manifests = seeds::of("manifest");
    let kinds = manifests.iter().filter_map(|seed| Manifest::parse(seed, None).ok());
    let charts = kinds.filter(|kind| matches!(kind, Manifest::Chart(_))).count();
    assert!(charts >= 1 && charts < manifests.len(), "{charts}");
    let names: Vec<_> = seeds::of("archive").iter().filter_map(|seed| entry::read(seed)).collect();
    // A plain chart, one with PAX headers, one with a long name.
    assert!(names.len() >= 3 && names.iter().all(|name| name == "web"), "{names:?}");
}
