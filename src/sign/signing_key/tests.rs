use std::sync::{Arc, Mutex};

use helm_sigstore_kit::sigstore::{Options, RekorVersion as Kit, Service, Sigstore};
use jiff::Timestamp;
use sigstore_trust_root::SigningConfig;

use super::super::{Content, KeyCheck, KeyServices, PrivateKey, Signer};
use super::*;
use crate::chart::Digest;
use crate::error::{Class, Error, Reason};
use crate::net::testing::client_with;
use crate::verify::{LogCheck, TrustRoot, TrustedKey, Verifier};

/// What whoever keeps the key says when it is asked to sign.
#[derive(Debug)]
enum Says {
    Signature,
    Nothing,
    SignatureBy(PrivateKey),
    Bytes(Vec<u8>),
}

/// A key behind a connection, as it seems from here.
#[derive(Debug)]
struct Remote {
    key: PrivateKey,
    says: Says,
    asked: Arc<Mutex<Vec<[u8; 32]>>>,
}

impl SigningKey for Remote {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign_digest(&self, digest: [u8; 32]) -> BoxFuture<'_, Result<Vec<u8>>> {
        Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            self.asked.lock().unwrap().push(digest);
            match &self.says {
                Says::Signature => self.key.sign_digest(digest).await,
                Says::SignatureBy(other) => other.sign_digest(digest).await,
                Says::Bytes(bytes) => Ok(bytes.clone()),
                Says::Nothing => {
                    Err(Error::undecided(Reason::ServiceUnreachable, "the key does not answer"))
                }
            }
        })
    }
}

fn key() -> PrivateKey {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    PrivateKey::parse(pem.as_bytes(), || unreachable!("it has no password")).unwrap()
}

/// Signs with a remote key on a whole Sigstore; answers what came of it, and what the key was asked.
async fn sign(kit: &Sigstore, says: Says, logged: bool) -> (Result<Vec<u8>>, Vec<[u8; 32]>) {
    let (key, asked) = (key(), Arc::<Mutex<Vec<_>>>::default());
    let config = SigningConfig::from_json(&kit.signing_config_json()).unwrap();
    let services = KeyServices::select(&config, None, logged, Timestamp::now()).unwrap();
    let trusted = TrustedKey {
        key: key.public().clone(),
        log: if logged { LogCheck::Required } else { LogCheck::Ignored },
    };
    let verifier = Verifier::new(TrustRoot::from_json(kit.trusted_root_json().as_bytes()).unwrap());
    let remote = Remote { key, says, asked: Arc::clone(&asked) };
    let signer = Signer::with_key(client_with(|_| {}), services, remote);
    let artifact = Digest::of(b"a chart");
    let payload = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}}}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#,
        artifact.hex()
    );
    let content = Content::Statement { payload: payload.as_bytes(), artifact };
    let check = KeyCheck { verifier: &verifier, key: &trusted };
    let signed = signer.sign(content, &check).await.map(|signed| signed.json);
    let asked = asked.lock().unwrap().clone();
    (signed, asked)
}

fn options(version: Kit, tsa: bool) -> Options {
    Options { rekor: vec![version], tsa, ..Options::default() }
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_signs_is_stamped_and_is_logged_as_one_in_a_file() {
    for (version, logged) in [(Kit::V1, true), (Kit::V2, true), (Kit::V1, false)] {
        let kit = Sigstore::start(options(version, true));
        let (signed, asked) = sign(&kit, Says::Signature, logged).await;
        assert!(signed.is_ok(), "{version:?} {logged}: {signed:?}");
        // Once: whoever keeps the key may ask a person each time.
        assert_eq!(asked.len(), 1);
        let service = if version == Kit::V1 { Service::RekorV1 } else { Service::RekorV2 };
        assert_eq!(kit.request_count(service) > 0, logged);
    }
}

#[tokio::test]
async fn nothing_is_public_before_the_key_has_signed() {
    for tsa in [true, false] {
        let kit = Sigstore::start(options(Kit::V1, tsa));
        let (signed, _) = sign(&kit, Says::Nothing, true).await;
        let error = signed.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Undecided, Reason::ServiceUnreachable));
        for wrong in [Says::SignatureBy(key()), Says::Bytes(Vec::new()), Says::Bytes(vec![7; 72])] {
            let (signed, _) = sign(&kit, wrong, true).await;
            let error = signed.unwrap_err();
            assert_eq!((error.class, error.reason), (Class::Refused, Reason::BadSignature));
            assert!(error.to_string().contains("not by the key"), "{error}");
        }
        assert_eq!(kit.requests(), []);
    }
}
