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
    chunk: Box<[u8]>,
    taken: usize,
    filled: usize,
    hasher: Sha256Hasher,
    size: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            taken: 0,
            filled: 0,
            hasher: Sha256Hasher::new(),
            size: 0,
            failure: None,
        }
    }

    /// What went wrong below, which whoever reads may have taken for damage.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Reads until the chunk is full, or nothing is left.
    fn fill(&mut self) -> io::Result<()> {
        while let Some(room) = self.chunk.get_mut(self.filled..).filter(|room| !room.is_empty()) {
            match self.inner.read(room) {
                Ok(0) => break,
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is left, and answers digest and length of the whole.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        while !self.fill_buf()?.is_empty() {
            self.taken = self.filled;
        }
        Ok((Digest::from_bytes(*self.hasher.finalize().as_bytes()), self.size))
    }
}

impl<R: Read> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
            // A whole chunk, so that what is looked for at the start does not depend on how a pipe is filled.
            if let Err(error) = self.fill() {
                // What has come of this chunk is not digested, so nobody gets to read it.
                self.filled = 0;
                self.failure = Some(io::Error::new(error.kind(), error.to_string()));
                return Err(error);
            }
            let chunk = self.chunk.get(..self.filled).unwrap_or_default();
            self.hasher.update(chunk);
            self.size += chunk.len() as u64;
        }
        Ok(self.chunk.get(self.taken..self.filled).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.taken = self.filled.min(self.taken + amount);
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}
