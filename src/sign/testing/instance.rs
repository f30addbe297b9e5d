//! A scripted instance, its judge, and what the tests sign with them.

use std::sync::Mutex as StdMutex;

use jiff::Timestamp;
use sigstore_types::Bundle;
use zeroize::Zeroizing;

use super::{Answers, token};
use crate::chart::Digest;
use crate::error::{Class, Error, Reason, Result};
use crate::net::testing::{Reply, Seen, Server, client};
use crate::sign::{
    AUDIENCE, Content, Log, OwnBundleCheck, RekorVersion, Services, Signed, Signer, Token,
    TokenSource,
};
use crate::verify::Stage;

pub(in crate::sign) const STATEMENT: &[u8] = br#"{"_type":"https://in-toto.io/Statement/v1"}"#;

/// A verifier that remembers what it was asked, and says no at one stage if told to.
#[derive(Default)]
pub(in crate::sign) struct Check {
    pub(in crate::sign) refuses: Option<Stage>,
    pub(in crate::sign) asked: StdMutex<Vec<(Stage, Bundle, Digest)>>,
}

impl OwnBundleCheck for Check {
    type Verified = ();

    fn verify_own(
        &self,
        bundle: &Bundle,
        artifact: &Digest,
        stage: Stage,
        _: Timestamp,
    ) -> Result<()> {
        self.asked.lock().unwrap().push((stage, bundle.clone(), *artifact));
        if self.refuses == Some(stage) {
            return Err(Error::refused(Reason::BadSignature, "bad signature"));
        }
        Ok(())
    }
}

impl Check {
    pub(in crate::sign) fn stages(&self) -> Vec<Stage> {
        self.asked.lock().unwrap().iter().map(|(stage, ..)| *stage).collect()
    }
}

pub(in crate::sign) struct Instance {
    pub(in crate::sign) server: Server,
    pub(in crate::sign) version: RekorVersion,
    pub(in crate::sign) timestamps: bool,
}

impl Instance {
    /// An instance that answers as `answers` say, but for what `other` answers itself.
    pub(in crate::sign) async fn start(
        answers: Answers,
        other: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let server = Server::start(move |seen, number| {
            other(seen, number).unwrap_or_else(|| answers.to(seen))
        })
        .await;
        Self { server, version: RekorVersion::V1, timestamps: true }
    }

    pub(in crate::sign) async fn honest() -> Self {
        Self::start(Answers::default(), |_, _| None).await
    }

    pub(in crate::sign) fn signer(&self) -> Signer {
        self.signer_with(TokenSource::Environment(Zeroizing::new(token())))
    }

    pub(in crate::sign) fn signer_with(&self, source: TokenSource) -> Signer {
        let services = Services {
            fulcio: self.server.url("/"),
            log: Log { url: self.server.url(""), version: self.version },
            timestamp: self.timestamps.then(|| self.server.url("/api/v1/timestamp")),
        };
        Signer::new(client(), services, source, Token::parse(&token()).unwrap(), AUDIENCE)
    }

    pub(in crate::sign) async fn sign(&self) -> Result<Signed<()>> {
        self.signer().sign(statement(), &Check::default()).await
    }

    /// The paths that were asked, in order.
    pub(in crate::sign) fn paths(&self) -> Vec<String> {
        self.server.seen().iter().map(|seen| seen.path().to_owned()).collect()
    }

    pub(in crate::sign) fn asked_log(&self) -> bool {
        self.paths().iter().any(|path| path.contains("/log/"))
    }
}

pub(in crate::sign) fn artifact() -> Digest {
    Digest::of(b"chart")
}

pub(in crate::sign) fn statement() -> Content<'static> {
    Content::Statement { payload: STATEMENT, artifact: artifact() }
}

pub(in crate::sign) fn answers(change: impl FnOnce(&mut Answers)) -> Answers {
    let mut answers = Answers::default();
    change(&mut answers);
    answers
}

#[track_caller]
pub(in crate::sign) fn assert_error(error: &Error, class: Class, reason: Reason, words: &str) {
    assert_eq!((error.class, error.reason), (class, reason), "{error}");
    assert!(error.to_string().contains(words), "{error} lacks {words:?}");
    for part in token().split('.') {
        assert!(!format!("{error:?}").contains(part), "{error} shows the token");
    }
}

/// Answers `reply` to whoever asks for a path with this end, always.
pub(in crate::sign) fn at(
    end: &'static str,
    answer: impl Fn() -> Reply + Send + Sync + 'static,
) -> impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync {
    move |seen, _| seen.path().ends_with(end).then(&answer)
}
