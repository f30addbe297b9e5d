//! Certificates: whom we trust, whom we do not, and how that is said.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::testing::client_with;
use super::*;
use crate::error::Reason;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn leaf(authority: &Authority, name: &str, until: i32) -> Leaf {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    Leaf { certificate: params.signed_by(&key, authority).unwrap(), key }
}

/// Serves `204` over TLS; returns the port.
async fn serve(leaf: &Leaf, clients: Option<&Authority>) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let config = builder.with_single_cert(vec![leaf.certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

async fn ask(port: u16, change: impl FnOnce(&mut Options)) -> Result<Response> {
    let url = Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    client_with(change).send(Request::get(url, 10)).await
}

#[tokio::test]
async fn trusts_an_extra_ca_and_says_what_else_is_wrong() {
    let (ours, theirs, twin) = (authority("ours"), authority("theirs"), authority("ours"));
    let pem = ours.pem();
    for (leaf, expected) in [
        (leaf(&ours, "127.0.0.1", 2099), None),
        (
            leaf(&theirs, "127.0.0.1", 2099),
            Some("the server's certificate is signed by an unknown CA"),
        ),
        (
            leaf(&twin, "127.0.0.1", 2099),
            Some("the server's certificate is not signed by the CA that it names"),
        ),
        (leaf(&ours, "other.example", 2099), Some("the server's certificate is for another host")),
        (leaf(&ours, "127.0.0.1", 2001), Some("the server's certificate has expired")),
    ] {
        let port = serve(&leaf, None).await;
        let answer = ask(port, |o| o.extra_ca_pem = Some(pem.clone().into_bytes())).await;
        match expected {
            None => assert_eq!(answer.unwrap().status, 204),
            Some(why) => {
                let error = answer.unwrap_err();
                let label = format!("undecided: GET https://127.0.0.1:{port}/: {why}");
                assert_eq!((error.to_string(), error.reason), (label, Reason::Unreachable));
            }
        }
        let anyway = ask(port, |o| o.insecure_skip_tls_verify = true).await;
        assert_eq!(anyway.unwrap().status, 204);
    }
}

#[tokio::test]
async fn shows_a_client_certificate_where_one_is_wanted() {
    let ours = authority("ours");
    let client = leaf(&ours, "client.example", 2099);
    let port = serve(&leaf(&ours, "127.0.0.1", 2099), Some(&ours)).await;
    let trust = |o: &mut Options| o.extra_ca_pem = Some(ours.pem().into_bytes());
    let error = ask(port, trust).await.unwrap_err();
    assert!(error.to_string().ends_with("the server wants a client certificate"), "{error}");
    let answer = ask(port, |o| {
        trust(o);
        o.client_identity = Some(ClientIdentity {
            certificate_pem: client.certificate.pem().into_bytes(),
            key_pem: client.key.serialize_pem().into_bytes().into(),
        });
    });
    assert_eq!(answer.await.unwrap().status, 204);
}
