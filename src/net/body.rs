//! The body of an answer while it comes.

use bytes::{Bytes, BytesMut};

/// The first block, where nobody has said how long the body is.
const LEAST: usize = 4 << 10;
/// The largest block.
const MOST: usize = 1 << 20;

/// What has come of a body. It grows block by block: to grow in one piece would take up to three times its size
/// while it is copied, of which whoever sends without end would make use. The pieces as they come are copied, since
/// each may hold on to a buffer that is much larger.
#[derive(Debug, Default)]
pub(super) struct Body {
    full: Vec<BytesMut>,
    last: BytesMut,
    length: usize,
}

impl Body {
    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Adds what has come.
    pub(super) fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.last.len() == self.last.capacity() {
                let next = BytesMut::with_capacity(self.length.max(piece.len()).clamp(LEAST, MOST));
                let full = std::mem::replace(&mut self.last, next);
                if !full.is_empty() {
                    self.full.push(full);
                }
            }
            let room = self.last.capacity() - self.last.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.last.extend_from_slice(now);
            self.length += now.len();
            piece = later;
        }
    }

    /// The whole of it.
    pub(super) fn freeze(self) -> Bytes {
        if self.full.is_empty() {
            return self.last.freeze();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for block in self.full.iter().chain([&self.last]) {
            whole.extend_from_slice(block);
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_came_however_it_came() {
        let whole: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        for size in [1_000, 4_096, 70_000, 2_500_000, 3_000_000] {
            let mut body = Body::default();
            for piece in whole.chunks(size) {
                body.push(piece);
            }
            assert_eq!(body.len(), whole.len());
            let blocks = body.full.len() + 1;
            assert!(blocks <= 16, "{blocks} blocks");
            assert!(body.freeze() == whole, "in pieces of {size}");
        }
        assert!(Body::default().freeze().is_empty());
    }

    #[test]
    fn a_body_takes_little_more_than_what_came() {
        let mut body = Body::default();
        for _ in 0..100_000 {
            body.push(&[0; 100]);
            let held: usize = body.full.iter().map(BytesMut::capacity).sum();
            let held = held + body.last.capacity();
            assert!(held <= 2 * body.len().max(LEAST) && held <= body.len() + MOST, "{held}");
        }
    }
}
