//! What the user typed, and what a chart says about itself. Pure: bytes and text in, facts out.
//!
//! Nothing here opens a file, reads the environment, asks the network or looks at a clock, so every
//! rule can be tested with bytes alone. Everything that arrives was written by a stranger: each reader
//! is bounded, and where Helm (written in Go) and we could understand the same bytes differently,
//! the bytes are refused.

mod archive;
mod argument;
mod dependencies;
mod digest;
mod hashed;
mod index;
mod manifest;
mod metadata;
mod push;
mod reference;
mod sanitise;
mod strict;
pub mod version;

pub use archive::{Archive, MAX_ARCHIVE_BYTES, MAX_ENTRIES, MAX_FILE_BYTES};
pub(crate) use argument::shell_word;
pub use argument::{Argument, PathKind};
pub use digest::Digest;
pub use index::{ManifestIndex, parse_indexed};
pub use manifest::{
    CHART_LAYER, CHART_LAYER_LEGACY, CONFIG, ChartManifest, Descriptor, INDEX, MANIFEST,
    MAX_MANIFEST_BYTES, Manifest, PROV_LAYER,
};
pub use metadata::{ChartMetadata, MAX_METADATA_BYTES};
pub use push::HelmPush;
pub use reference::{ChartReference, RepositoryPrefix};
pub(crate) use strict::check_distinct_keys;

#[cfg(test)]
mod tests {
    const COMMON: &[u8] = b"{}[]\",:/@.\0x*|v-+_ 9";

    /// A small seeded generator (SplitMix64) for mutation loops: the same bytes in every run.
    pub(super) struct Random(u64);

    impl Random {
        pub(super) fn new(seed: u64) -> Self {
            Self(seed)
        }

        pub(super) fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        pub(super) fn below(&mut self, end: usize) -> usize {
            usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
        }

        /// One to four small edits: a byte replaced, inserted or removed, a piece repeated, a tail cut.
        pub(super) fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
            let mut bytes = seed.to_vec();
            for _ in 0..=self.below(3) {
                let at = self.below(bytes.len());
                match self.below(6) {
                    0 if at < bytes.len() => bytes[at] = self.next() as u8,
                    1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                    2 => bytes.insert(at, COMMON[self.below(COMMON.len())]),
                    3 if at < bytes.len() => {
                        bytes.remove(at);
                    }
                    4 => {
                        let end = at + self.below(bytes.len() - at);
                        let piece = bytes[at..end].to_vec();
                        bytes.splice(at..at, piece);
                    }
                    _ => bytes.truncate(at),
                }
            }
            bytes
        }
    }
}
