//! An answer before it goes out, and the body that carries it, whole or spoiled.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde_json::json;
use tokio::time::{Sleep, sleep};

use super::faults::ENDLESS;

/// Bytes of one piece of a body: small, so that the count of sent bytes stops soon after the client
/// stops reading.
const PIECE: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) delivery: Delivery,
}

/// How the body goes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Delivery {
    Chunked,
    Drip { bytes: usize, every_ms: u64 },
    Endless,
    HangAfter(usize),
    Truncate(usize),
    Whole,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let mut answer = Answer::empty(status);
        answer.set_header("content-type", content_type);
        answer.body = body.into();
        answer
    }

    pub(super) fn empty(status: StatusCode) -> Answer {
        let delivery = Delivery::Whole;
        Answer { status, headers: HeaderMap::new(), body: Bytes::new(), delivery }
    }

    /// The error body of the distribution specification ("Error Codes").
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
        let body = json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
        Answer::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// The usual error for a status.
    pub(super) fn error_of(status: StatusCode) -> Answer {
        let code = match status.as_u16() {
            401 => "UNAUTHORIZED",
            403 => "DENIED",
            404 => "NOT_FOUND",
            405 | 501 => "UNSUPPORTED",
            412 => "PRECONDITION",
            429 => "TOOMANYREQUESTS",
            400..=499 => "MANIFEST_INVALID",
            _ => "UNKNOWN",
        };
        Answer::error(status, code, status.canonical_reason().unwrap_or("error"))
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Answer {
        self.set_header(name, value);
        self
    }

    /// Sets a header; one that HTTP cannot carry is left out.
    pub(super) fn set_header(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            self.headers.insert(name, value);
        }
    }

    pub(super) fn drop_header(&mut self, name: &str) {
        self.headers.remove(name);
    }

    /// The response to send. `sent` counts the bytes of the body that the connection takes.
    pub(super) fn into_response(
        self,
        method: &Method,
        sent: Arc<AtomicU64>,
    ) -> Response<Delivered> {
        let length = self.body.len();
        let mut headers = self.headers;
        let head = method == Method::HEAD;
        let announces = match self.delivery {
            _ if head => true,
            Delivery::Drip { .. } | Delivery::HangAfter(_) | Delivery::Truncate(_) => true,
            Delivery::Chunked | Delivery::Endless | Delivery::Whole => false,
        };
        if announces {
            headers.entry("content-length").or_insert_with(|| HeaderValue::from(length));
        }
        // A length of its own, from here or from a fault, goes out as it is: hyper would insist
        // that body and header agree.
        let exact =
            matches!(self.delivery, Delivery::Whole) && !headers.contains_key("content-length");
        let body = if head { Bytes::new() } else { self.body };
        let delivery = if head { Delivery::Whole } else { self.delivery };
        let mut response = Response::new(Delivered {
            body,
            delivery,
            exact,
            sent,
            offset: 0,
            pause: None,
            paused_at: None,
        });
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Delivered {
    body: Bytes,
    delivery: Delivery,
    exact: bool,
    sent: Arc<AtomicU64>,
    offset: u64,
    pause: Option<Pin<Box<Sleep>>>,
    /// The offset before which the last pause was made, so that each piece waits once.
    paused_at: Option<u64>,
}

impl Delivered {
    fn piece(&mut self, most: usize) -> Option<Bytes> {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX).min(self.body.len());
        let end = start.saturating_add(most).min(self.body.len());
        (start < end).then(|| self.body.slice(start..end))
    }

    fn wait(&mut self, context: &mut Context<'_>, time: Duration) -> Poll<()> {
        if self.paused_at == Some(self.offset) {
            return Poll::Ready(());
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(pause.as_mut().poll(context));
        self.pause = None;
        self.paused_at = Some(self.offset);
        Poll::Ready(())
    }

    fn give(&mut self, piece: Bytes) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let length = piece.len() as u64;
        self.offset += length;
        self.sent.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Body for Delivered {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        let offset = usize::try_from(this.offset).unwrap_or(usize::MAX);
        match this.delivery {
            Delivery::Whole | Delivery::Chunked => match this.piece(PIECE) {
                Some(piece) => this.give(piece),
                None => Poll::Ready(None),
            },
            Delivery::Drip { bytes, every_ms } => {
                ready!(this.wait(context, Duration::from_millis(every_ms)));
                match this.piece(bytes) {
                    Some(piece) => this.give(piece),
                    None => Poll::Ready(None),
                }
            }
            Delivery::Endless => {
                let body = this.body.len().saturating_sub(1);
                if this.offset >= ENDLESS {
                    Poll::Ready(None)
                } else if offset < body {
                    let piece = this.body.slice(offset..body.min(offset + PIECE));
                    this.give(piece)
                } else {
                    this.give(Bytes::from_static(&[b' '; PIECE]))
                }
            }
            Delivery::HangAfter(most) => match this.piece(most.saturating_sub(offset).min(PIECE)) {
                Some(piece) => this.give(piece),
                None => Poll::Pending,
            },
            Delivery::Truncate(most) => match this.piece(most.saturating_sub(offset).min(PIECE)) {
                Some(piece) => this.give(piece),
                None => {
                    // hyper drops what it has buffered when a body fails; a pause lets it go out.
                    ready!(this.wait(context, Duration::from_millis(20)));
                    Poll::Ready(Some(Err(Cut)))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exact && self.offset >= self.body.len() as u64 || self.never_has_data()
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact {
            SizeHint::with_exact(self.body.len() as u64 - self.offset)
        } else {
            SizeHint::default()
        }
    }
}

impl Delivered {
    fn never_has_data(&self) -> bool {
        matches!(self.delivery, Delivery::Whole) && self.body.is_empty()
    }
}

/// The connection is to be closed without more.
#[derive(Debug)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Cut {
        match never {}
    }
}
