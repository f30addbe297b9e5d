//! An append-only Merkle tree with inclusion proofs (RFC 6962 section 2.1).

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// A node of the tree.
pub(crate) type Hash = [u8; 32];

/// A log: its leaves in order, and where each of them is.
///
/// Proofs are computed from the leaves each time: a test's log holds a handful of entries.
#[derive(Default)]
pub(crate) struct Tree {
    leaves: Vec<Hash>,
    positions: HashMap<Hash, usize>,
}

impl Tree {
    pub(crate) fn size(&self) -> usize {
        self.leaves.len()
    }

    /// Where an equal leaf already is.
    pub(crate) fn position(&self, leaf: &Hash) -> Option<usize> {
        self.positions.get(leaf).copied()
    }

    /// Appends a leaf and gives its index.
    pub(crate) fn append(&mut self, leaf: Hash) -> usize {
        let index = self.leaves.len();
        self.leaves.push(leaf);
        self.positions.entry(leaf).or_insert(index);
        index
    }

    pub(crate) fn leaf(&self, index: usize) -> Option<Hash> {
        self.leaves.get(index).copied()
    }

    /// The root over all leaves.
    pub(crate) fn root(&self) -> Hash {
        root(&self.leaves)
    }

    /// The audit path of a leaf, from the leaf upwards; empty for an index that is not in the tree.
    pub(crate) fn inclusion_proof(&self, index: usize) -> Vec<Hash> {
        let mut path = Vec::new();
        if index < self.leaves.len() {
            collect(index, &self.leaves, &mut path);
        }
        path
    }
}

/// The hash of a leaf's content.
pub(crate) fn leaf_hash(content: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(content).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Where a tree of `count` leaves divides: the largest power of two below `count`.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

fn collect(index: usize, leaves: &[Hash], path: &mut Vec<Hash>) {
    if leaves.len() < 2 {
        return;
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    if index < middle {
        collect(index, left, path);
        path.push(root(right));
    } else {
        collect(index - middle, right, path);
        path.push(root(left));
    }
}

#[cfg(test)]
mod tests {
    use sigstore_types::Sha256Hash;

    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_has_a_proof_that_others_accept() {
        let mut tree = Tree::default();
        for size in 1..=40_usize {
            tree.append(leaf_hash(&size.to_be_bytes()));
            let root = Sha256Hash::new(tree.root());
            for index in 0..size {
                let leaf = Sha256Hash::new(tree.leaf(index).unwrap());
                let path: Vec<_> =
                    tree.inclusion_proof(index).into_iter().map(Sha256Hash::new).collect();
                sigstore_merkle::verify_inclusion_proof(
                    &leaf,
                    index as u64,
                    size as u64,
                    &path,
                    &root,
                )
                .unwrap_or_else(|error| panic!("leaf {index} of {size}: {error}"));
            }
        }
    }

    #[test]
    fn a_proof_does_not_fit_another_leaf() {
        let mut tree = Tree::default();
        for content in [b"a", b"b", b"c"] {
            tree.append(leaf_hash(content));
        }
        let path: Vec<_> = tree.inclusion_proof(1).into_iter().map(Sha256Hash::new).collect();
        let root = Sha256Hash::new(tree.root());
        let wrong = Sha256Hash::new(leaf_hash(b"c"));
        assert!(sigstore_merkle::verify_inclusion_proof(&wrong, 1, 3, &path, &root).is_err());
    }

    #[test]
    fn hashes_leaves_as_others_do() {
        assert_eq!(leaf_hash(b"chart"), *sigstore_merkle::hash_leaf(b"chart").as_bytes());
    }

    #[test]
    fn finds_a_leaf_again_by_its_hash() {
        let mut tree = Tree::default();
        tree.append(leaf_hash(b"a"));
        tree.append(leaf_hash(b"b"));
        assert_eq!(tree.position(&leaf_hash(b"b")), Some(1));
        assert_eq!(tree.position(&leaf_hash(b"c")), None);
    }
}
