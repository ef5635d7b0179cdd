//! A TLS server for very many names. Its private keys rest sealed, and each is opened for one signature.

pub mod demo;
pub mod folder;
pub mod keys;
pub mod progress;
pub mod server;
pub mod sites;

/// Whatever keeps the server from its work; its text is for a person.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
