//! A TLS 1.3 handshake with the server's key in a vault.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use strongroom::{Share, Vault};
use strongroom_keys::{Algorithm, Ed25519, Key, P256, Rsa, TlsAlgorithm, TlsKey};
use support::data;

#[test]
fn a_server_answers_with_each_algorithm() {
    shakes_hands::<Ed25519>("ed25519");
    shakes_hands::<P256>("p256");
    shakes_hands::<Rsa>("rsa");
}

fn shakes_hands<A: TlsAlgorithm>(name: &str) {
    let vault = Arc::new(Vault::new(64 * 1024).unwrap());
    let key = read::<A>(&vault.share(), name);
    let (mut client, mut server) = connect(key, name);
    assert_eq!(shake_hands(&mut client, &mut server), Ok(()), "{name}");
    assert_eq!(vault.held(), 0);

    client.writer().write_all(b"hello").unwrap();
    assert_eq!(shake_hands(&mut client, &mut server), Ok(()));
    let mut said = [0; 5];
    server.reader().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello");
}

/// The handshake fails with what the vault says, and the next one succeeds.
#[test]
fn a_full_vault_fails_one_handshake() {
    let vault = Arc::new(Vault::new(16 * 1024).unwrap());
    let key = read::<P256>(&vault.share(), "p256");
    let key = key.with_timeout(Duration::from_millis(10));
    let key = Arc::new(key);
    let mut held = Vec::new();
    while let Ok(opened) = vault.try_allocate(32) {
        held.push(opened);
    }
    let certified = |key: &Arc<Key<P256>>| connect_shared(Arc::clone(key), "p256");
    let (mut client, mut server) = certified(&key);
    let error = shake_hands(&mut client, &mut server).unwrap_err();
    assert!(error.to_string().contains("gave up after 0.0"), "{error}");
    drop(held);
    let (mut client, mut server) = certified(&key);
    assert_eq!(shake_hands(&mut client, &mut server), Ok(()));
}

/// What rustls would find out when a server starts: key and certificate belong together.
#[test]
fn rustls_compares_key_and_certificate() {
    let vault = Arc::new(Vault::new(64 * 1024).unwrap());
    let key = Arc::new(TlsKey::new(Arc::new(read::<P256>(&vault.share(), "p256"))));
    let certificate = |name: &str| vec![CertificateDer::from(data(&format!("{name}.crt")))];
    assert_eq!(CertifiedKey::new(certificate("p256"), key.clone()).keys_match(), Ok(()));
    assert!(CertifiedKey::new(certificate("ed25519"), key.clone()).keys_match().is_err());
    assert!(key.choose_scheme(&[rustls::SignatureScheme::ED25519]).is_none());
}

fn read<A: Algorithm>(share: &Share, name: &str) -> Key<A> {
    Key::from_pem(share, &data(&format!("{name}.pem")), b"tls").unwrap()
}

fn connect<A: TlsAlgorithm>(key: Key<A>, name: &str) -> (ClientConnection, ServerConnection) {
    connect_shared(Arc::new(key), name)
}

fn connect_shared<A: TlsAlgorithm>(
    key: Arc<Key<A>>,
    name: &str,
) -> (ClientConnection, ServerConnection) {
    let certificate = CertificateDer::from(data(&format!("{name}.crt")));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let certified = CertifiedKey::new(vec![certificate], Arc::new(TlsKey::new(key)));
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_cert_resolver(resolver);
    let client = ClientConfig::builder_with_provider(provider);
    let client = client.with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let host = ServerName::try_from("strongroom.test").unwrap();
    let client = ClientConnection::new(Arc::new(client), host).unwrap();
    (client, ServerConnection::new(Arc::new(server)).unwrap())
}

/// Carries what both say to the other one, until neither says anything more.
fn shake_hands(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut arrived = &wire[..];
        while !arrived.is_empty() {
            server.read_tls(&mut arrived).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut arrived = &wire[..];
        while !arrived.is_empty() {
            client.read_tls(&mut arrived).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}
