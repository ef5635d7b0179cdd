//! The names that a server answers to, each with its certificate and its key.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, DnsName};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ServerConfig, crypto};

use crate::Failure;

/// Names, in lower case, to certificates. Filled first, then only read: nobody waits for a lock.
#[derive(Debug, Default)]
pub struct Sites {
    names: HashMap<Box<str>, Arc<CertifiedKey>>,
    certificate_bytes: usize,
}

impl Sites {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a name.
    ///
    /// # Errors
    /// It is no name of a host, or there already.
    pub fn add(
        &mut self,
        name: &str,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<(), Failure> {
        let name = DnsName::try_from(name).map_err(|_| format!("{name}: no name of a host"))?;
        let name = name.to_lowercase_owned();
        self.certificate_bytes += chain.iter().map(|certificate| certificate.len()).sum::<usize>();
        let certified = Arc::new(CertifiedKey::new(chain, key));
        match self.names.insert(name.as_ref().into(), certified) {
            None => Ok(()),
            Some(_) => Err(format!("{}: has two certificates", name.as_ref()).into()),
        }
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes of all certificates, without what the allocator and the map add.
    #[must_use]
    pub fn certificate_bytes(&self) -> usize {
        self.certificate_bytes
    }

    /// A server's settings with these names. Sessions are not resumed: every connection is a full
    /// handshake, and no ticket keeps a secret.
    ///
    /// # Errors
    /// Never with this provider.
    pub fn into_config(self) -> Result<ServerConfig, Failure> {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Sites {
    /// A name that is not here, or none, ends the handshake.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has made lower case of it.
        self.names.get(hello.server_name()?).cloned()
    }
}
