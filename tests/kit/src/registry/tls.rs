//! TLS with an authority that is made at start.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// TLS of the registry.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The certificate that the registry shows.
    pub certificate: Certificate,
    /// More names that the certificate is for.
    pub names: Vec<String>,
    /// Whether a client must show the certificate of `Registry::client_pem`.
    pub require_client_certificate: bool,
    /// Offers HTTP/1.1 only; otherwise HTTP/2 too.
    pub http1_only: bool,
}

/// Kinds of certificates. All but `SelfSigned` are issued by the authority of `Registry::ca_pem`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Its time has passed.
    Expired,
    /// Signed by its own key, which nobody trusts.
    SelfSigned,
    /// For `127.0.0.1` and `localhost`.
    #[default]
    Valid,
    /// For another host.
    WrongHost,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Certificates and keys in PEM.
#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) ca: String,
    pub(super) client_certificate: String,
    pub(super) client_key: String,
}

pub(super) fn acceptor(tls: &Tls) -> Result<(TlsAcceptor, Material), Box<dyn std::error::Error>> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "kit registry authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let root = authority.self_signed(&key)?;
    let issuer = Issuer::new(authority, key);

    let mut server = CertificateParams::default();
    server.distinguished_name.push(DnType::CommonName, "kit registry");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.subject_alt_names = match tls.certificate {
        Certificate::WrongHost => vec![SanType::DnsName("registry.invalid".try_into()?)],
        _ => vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into()?),
        ],
    };
    for name in &tls.names {
        server.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    // Platform verifiers refuse windows of years; rcgen's default is centuries.
    let now = SystemTime::now();
    let end = if tls.certificate == Certificate::Expired { now - DAY } else { now + 30 * DAY };
    server.not_before = (now - 30 * DAY).into();
    server.not_after = end.into();
    let server_key = KeyPair::generate()?;
    let shown = match tls.certificate {
        Certificate::SelfSigned => server.self_signed(&server_key)?,
        _ => server.signed_by(&server_key, &issuer)?,
    };

    let mut client = CertificateParams::default();
    client.distinguished_name.push(DnType::CommonName, "kit client");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate()?;
    let client = client.signed_by(&client_key, &issuer)?;

    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = if tls.require_client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
    } else {
        builder.with_no_client_auth()
    };
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let mut config = builder.with_single_cert(vec![shown.der().clone()], private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !tls.http1_only {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    let material = Material {
        ca: root.pem(),
        client_certificate: client.pem(),
        client_key: client_key.serialize_pem(),
    };
    Ok((TlsAcceptor::from(Arc::new(config)), material))
}
