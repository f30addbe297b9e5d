//! How many requests are under way to one origin: eight connections of HTTP/1.1, or one of HTTP/2.
//!
//! A connection carries one request of HTTP/1.1, so that requests are counted. Over TLS nobody knows the
//! protocol before the first connection stands: until then one request goes ahead and the others wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Version;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::origin::Origin;

/// Connections of HTTP/1.1 to one origin.
pub(super) const CONNECTIONS: usize = 8;
/// Requests at a time on one connection of HTTP/2; servers allow a hundred and more.
const STREAMS: usize = 64;
/// How long the others wait for the one that goes ahead: one that hangs is no trouble of theirs.
const AHEAD: Duration = Duration::from_secs(2);

/// The origins of a client, and who is under way to them.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<Origin, Arc<Lane>>>);

#[derive(Debug)]
struct Lane {
    room: Arc<Semaphore>,
    /// How many may be under way at a time; 1 until the protocol is known.
    width: Mutex<usize>,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    lane: Arc<Lane>,
    /// Nothing only if nobody counts any more.
    _room: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    /// Waits until there is room for a request to the origin of `url`.
    pub(super) async fn enter(&self, url: &Url) -> Option<Turn> {
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let width = if url.scheme() == "https" { 1 } else { CONNECTIONS };
            Arc::clone(lanes.entry(Origin::of(url)?).or_insert_with(|| Lane::of(width)))
        };
        let room = Arc::clone(&lane.room).acquire_owned();
        let mut room = std::pin::pin!(room);
        let room = loop {
            if lane.width() > 1 {
                break room.await;
            }
            match tokio::time::timeout(AHEAD, room.as_mut()).await {
                Ok(room) => break room,
                Err(_) => lane.widen(CONNECTIONS),
            }
        };
        Some(Turn { lane, _room: room.ok() })
    }
}

impl Lane {
    fn of(width: usize) -> Arc<Self> {
        Arc::new(Self { room: Arc::new(Semaphore::new(width)), width: Mutex::new(width) })
    }

    fn width(&self) -> usize {
        *self.width.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn widen(&self, to: usize) {
        let mut width = self.width.lock().unwrap_or_else(PoisonError::into_inner);
        self.room.add_permits(to.saturating_sub(*width));
        *width = to.max(*width);
    }
}

impl Turn {
    /// Says which protocol the origin turned out to speak.
    pub(super) fn speaks(&self, version: Version) {
        self.lane.widen(if version == Version::HTTP_2 { STREAMS } else { CONNECTIONS });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_goes_ahead_until_the_protocol_is_known() {
        for (version, width) in [(Version::HTTP_11, CONNECTIONS), (Version::HTTP_2, STREAMS)] {
            let lanes = Lanes::default();
            let url = Url::parse("https://r.example/v2/").unwrap();
            let first = lanes.enter(&url).await.unwrap();
            let mut second = std::pin::pin!(lanes.enter(&url));
            let wait = Duration::from_millis(100);
            assert!(tokio::time::timeout(wait, second.as_mut()).await.is_err());
            first.speaks(version);
            let second = second.await.unwrap();
            assert_eq!(second.lane.width(), width);
            assert_eq!(second.lane.room.available_permits(), width - 2);
            drop(first);
            assert_eq!(second.lane.room.available_permits(), width - 1);
            // Another origin has lanes of its own.
            let other = Url::parse("https://r.example:444/").unwrap();
            assert_eq!(lanes.enter(&other).await.unwrap().lane.width(), 1);
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_waited_for_a_little_and_plain_http_for_nobody() {
        let lanes = Lanes::default();
        let url = Url::parse("https://r.example/v2/").unwrap();
        let _hangs = lanes.enter(&url).await.unwrap();
        let others: Vec<_> = (0..3).map(|_| lanes.enter(&url)).collect();
        let others = futures_util::future::join_all(others).await;
        assert_eq!(others.len(), 3);
        let url = Url::parse("http://r.example/v2/").unwrap();
        let mut turns = Vec::new();
        for _ in 0..CONNECTIONS {
            turns.push(lanes.enter(&url).await.unwrap());
        }
        let ninth = tokio::time::timeout(Duration::from_millis(100), lanes.enter(&url)).await;
        assert!(ninth.is_err());
    }
}
