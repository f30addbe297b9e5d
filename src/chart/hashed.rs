//! A stream that is digested while somebody reads it, so that a file need not be held whole to be both read
//! and digested.

use std::io::{self, BufRead, Read};

use sigstore_crypto::Sha256Hasher;

use super::digest::Digest;

/// How much is read at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// A stream of which every byte that is read is digested.
pub(super) struct Hashed<R> {
    inner: R,
    chunk: Vec<u8>,
    taken: usize,
    hasher: Sha256Hasher,
    size: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            taken: 0,
            hasher: Sha256Hasher::new(),
            size: 0,
            failure: None,
        }
    }

    /// What went wrong below, which whoever reads may have taken for damage.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Reads what is left, and answers digest and length of the whole.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        while !self.fill_buf()?.is_empty() {
            self.taken = self.chunk.len();
        }
        Ok((Digest::from_bytes(*self.hasher.finalize().as_bytes()), self.size))
    }
}

impl<R: Read> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.chunk.len() {
            self.taken = 0;
            self.chunk.clear();
            // A whole chunk, so that what is looked for at the start does not depend on how a pipe is filled.
            let mut next = (&mut self.inner).take(CHUNK_BYTES as u64);
            if let Err(error) = next.read_to_end(&mut self.chunk) {
                self.failure = Some(io::Error::new(error.kind(), error.to_string()));
                return Err(error);
            }
            self.hasher.update(&self.chunk);
            self.size += self.chunk.len() as u64;
        }
        Ok(self.chunk.get(self.taken..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.taken = self.chunk.len().min(self.taken + amount);
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}
