//! Faults: a table of "when a request looks like this, do that to its answer".

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::{Method, StatusCode};

use super::answer::{Answer, Delivery};
use super::store::Store;

/// One fault. Several may meet one request; they act in the order in which they were added.
///
/// ```
/// use helm_sigstore_kit::registry::{Action, Fault};
/// // The second and third GET of a manifest are throttled.
/// let fault = Fault::new("/manifests/", Action::status(429)).method("GET").skip(1).times(2);
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only requests with this method; any when `None`.
    pub method: Option<String>,
    /// Only requests whose path and query contain this; empty matches all.
    pub path_contains: String,
    /// How many matching requests pass unharmed first.
    pub skip: usize,
    /// How many matching requests after them are hit.
    pub times: usize,
    /// What happens to them.
    pub action: Action,
}

/// What a fault does. `{path}` in a target or header value stands for the request's path and query,
/// `{host}` for the registry's own `127.0.0.1:PORT`.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends the body in chunks without a length.
    Chunked,
    /// Waits this many milliseconds before the request is carried out.
    Delay(u64),
    /// Sends the body this many bytes at a time.
    Drip {
        /// Bytes of each piece.
        bytes: usize,
        /// Milliseconds before each piece.
        every_ms: u64,
    },
    /// Removes a header.
    DropHeader(String),
    /// Sends the body without its last byte and then blanks, up to [`ENDLESS`] bytes or until the
    /// peer closes: a JSON document stays open for as long as somebody reads.
    Endless,
    /// Flips the lowest bit of the byte in the middle of the body.
    FlipBit,
    /// Compresses the body and says so in `Content-Encoding`.
    Gzip,
    /// Takes the request and never answers.
    Hang,
    /// Sends headers and this many bytes of the body, then nothing more.
    HangAfter(usize),
    /// Carries the request out and closes the connection without an answer.
    LoseAnswer,
    /// Redirects without carrying the request out.
    Redirect {
        /// `Location`.
        to: String,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// Sends another body, under the headers of the true one.
    ReplaceBody(Vec<u8>),
    /// Sends another `Content-Type`.
    ReplaceContentType(String),
    /// Closes the connection without carrying the request out.
    Reset,
    /// Carries the request out, then runs this on the content, then answers: a tag that moves after
    /// it was read, a second writer between read and write.
    Run(Hook),
    /// Sets a header, replacing what was there.
    SetHeader(String, String),
    /// Answers this without carrying the request out.
    Status {
        /// Status code.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// Body; empty gives the registry's usual JSON error.
        body: Vec<u8>,
    },
    /// Announces the whole body, sends this many bytes and closes the connection.
    Truncate(usize),
}

/// The most that [`Action::Endless`] sends, in bytes.
pub const ENDLESS: u64 = 2 << 30;

/// Code for [`Action::Run`].
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn(&Store) + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hook")
    }
}

impl Fault {
    /// Hits every request whose path and query contain `path`, whatever its method.
    pub fn new(path: &str, action: Action) -> Fault {
        let path_contains = path.to_owned();
        Fault { method: None, path_contains, skip: 0, times: usize::MAX, action }
    }

    /// As [`Fault::new`], but only once.
    pub fn once(path: &str, action: Action) -> Fault {
        Fault::new(path, action).times(1)
    }

    /// Only this method.
    pub fn method(mut self, method: &str) -> Fault {
        self.method = Some(method.to_owned());
        self
    }

    /// Lets this many matching requests pass first.
    pub fn skip(mut self, requests: usize) -> Fault {
        self.skip = requests;
        self
    }

    /// Hits this many matching requests.
    pub fn times(mut self, requests: usize) -> Fault {
        self.times = requests;
        self
    }

    fn matches(&self, method: &Method, path_and_query: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method.as_str())
            && path_and_query.contains(&self.path_contains)
    }
}

impl Action {
    /// A status with the registry's usual JSON error and no further headers.
    pub fn status(status: u16) -> Action {
        Action::Status { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A status with one header, such as `Retry-After`.
    pub fn status_with(status: u16, header: &str, value: &str) -> Action {
        let headers = vec![(header.to_owned(), value.to_owned())];
        Action::Status { status, headers, body: Vec::new() }
    }

    /// See [`Action::Run`].
    pub fn run(hook: impl Fn(&Store) + Send + Sync + 'static) -> Action {
        Action::Run(Hook(Arc::new(hook)))
    }

    /// What takes the place of carrying the request out, if this action does.
    pub(super) fn instead(&self, fill: &dyn Fn(&str) -> String) -> Option<Answer> {
        match self {
            Action::Redirect { to, status } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND);
                Some(Answer::empty(status).with("location", &fill(to)))
            }
            Action::Status { status, headers, body } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                let mut answer = Answer::error_of(status);
                if !body.is_empty() {
                    answer.body = Bytes::from(body.clone());
                }
                for (name, value) in headers {
                    answer = answer.with(name, &fill(value));
                }
                Some(answer)
            }
            _ => None,
        }
    }

    /// Spoils an answer.
    pub(super) fn spoil(&self, answer: &mut Answer, store: &Store, fill: &dyn Fn(&str) -> String) {
        match self {
            Action::Chunked => answer.delivery = Delivery::Chunked,
            Action::Drip { bytes, every_ms } => {
                answer.delivery = Delivery::Drip { bytes: (*bytes).max(1), every_ms: *every_ms };
            }
            Action::DropHeader(name) => answer.drop_header(name),
            Action::Endless => answer.delivery = Delivery::Endless,
            Action::FlipBit => {
                let mut bytes = answer.body.to_vec();
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
                answer.body = bytes.into();
            }
            Action::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::best());
                if writer.write_all(&answer.body).is_ok() {
                    answer.body = writer.finish().unwrap_or_default().into();
                    answer.set_header("content-encoding", "gzip");
                }
            }
            Action::HangAfter(bytes) => answer.delivery = Delivery::HangAfter(*bytes),
            Action::ReplaceBody(bytes) => answer.body = bytes.clone().into(),
            Action::ReplaceContentType(value) => answer.set_header("content-type", value),
            Action::Run(Hook(hook)) => hook(store),
            Action::SetHeader(name, value) => answer.set_header(name, &fill(value)),
            Action::Truncate(bytes) => answer.delivery = Delivery::Truncate(*bytes),
            Action::Delay(_)
            | Action::Hang
            | Action::LoseAnswer
            | Action::Redirect { .. }
            | Action::Reset
            | Action::Status { .. } => (),
        }
    }
}

/// The table, with a count of the requests that each fault has met.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<(Fault, usize)>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((fault, 0));
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The actions for this request; counts it.
    pub(super) fn meet(&self, method: &Method, path_and_query: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        for (fault, met) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if fault.matches(method, path_and_query) {
                if *met >= fault.skip && *met - fault.skip < fault.times {
                    actions.push(fault.action.clone());
                }
                *met += 1;
            }
        }
        actions
    }
}
