//! Certificates, seen by a client that trusts the registry's own authority.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs,
};

use super::*;

/// The first bytes of the answer to the version check; the error of the handshake otherwise.
fn check(registry: &Registry, name: &'static str, with_client: bool) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let ca = registry.ca_pem().unwrap();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_client {
        let (certificate, key) = registry.client_pem().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(registry.host())?);
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut first = [0; 12];
    stream.read_exact(&mut first)?;
    Ok(String::from_utf8_lossy(&first).into_owned())
}

fn start(certificate: Certificate, require_client_certificate: bool) -> Registry {
    let tls = Tls { certificate, require_client_certificate, ..Tls::default() };
    Registry::start(Options { tls: Some(tls), ..Options::default() })
}

#[test]
fn shows_a_certificate_of_its_authority() {
    let registry = start(Certificate::Valid, false);
    assert!(registry.origin().starts_with("https://127.0.0.1:"));
    assert_eq!(check(&registry, "127.0.0.1", false).unwrap(), "HTTP/1.1 200");
    assert_eq!(check(&registry, "localhost", false).unwrap(), "HTTP/1.1 200");
}

#[test]
fn shows_bad_certificates_when_asked_to() {
    for (certificate, reason) in [
        (Certificate::Expired, "Expired"),
        (Certificate::SelfSigned, "UnknownIssuer"),
        (Certificate::WrongHost, "NotValidForName"),
    ] {
        let error = check(&start(certificate, false), "127.0.0.1", false).unwrap_err();
        assert!(format!("{error:?}").contains(reason), "{certificate:?}: {error:?}");
    }
}

#[test]
fn can_demand_a_client_certificate() {
    let registry = start(Certificate::Valid, true);
    assert!(check(&registry, "127.0.0.1", false).is_err());
    assert_eq!(check(&registry, "127.0.0.1", true).unwrap(), "HTTP/1.1 200");
    assert_eq!(registry.requests().len(), 1);
}
