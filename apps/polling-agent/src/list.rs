//! The list of endpoints with user and password each, read into locked memory and sealed.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use strongroom::{Opened, Store, Vault};

use crate::Failure;

/// URLs to what goes behind `Authorization: Basic`.
pub(crate) type Credentials = Store<Arc<str>>;

/// Where one poll goes.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
}

impl Endpoint {
    /// Takes `http://ADDRESS:PORT/PATH` apart.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let wrong = || format!("{url}: not of the form http://127.0.0.1:8080/path");
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (address, path) = rest.split_once('/').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        Ok(Self { url: url.into(), address, path: format!("/{path}") })
    }
}

/// Reads lines `URL USER:PASSWORD` until an empty one or the end, and seals what each has. `each` is called
/// with every URL that is new.
pub(crate) fn read(
    reader: impl Read,
    credentials: &Credentials,
    mut each: impl FnMut(Endpoint),
) -> Result<usize, Failure> {
    let vault = Arc::clone(credentials.vault());
    let mut lines = vault.reader(reader).with_timeout(PATIENCE);
    let mut count = 0;
    while let Some(line) = lines.read_line(LONGEST_LINE)? {
        if line.is_empty() {
            break;
        }
        count += 1;
        let at = |error: Failure| format!("line {count} of the list: {error}");
        if let Some(endpoint) = seal(&vault, &line, credentials).map_err(at)? {
            each(endpoint);
        }
    }
    Ok(count)
}

/// Seals `USER:PASSWORD` as a request has it: encoded in locked memory, once, and not for each poll.
fn seal(
    vault: &Vault,
    line: &Opened<'_>,
    credentials: &Credentials,
) -> Result<Option<Endpoint>, Failure> {
    let line = line.expose_secret();
    let space = line.iter().position(|&byte| byte == b' ');
    let (url, rest) = line.split_at(space.ok_or("there is no space after the URL")?);
    let url = str::from_utf8(url).map_err(|_| "the URL is not UTF-8")?;
    let secret = &rest[1..];
    if !secret.contains(&b':') {
        return Err("there is no USER:PASSWORD after the URL".into());
    }
    // Nobody who has a password open waits for another: there will be room.
    let mut encoded = vault.allocate_timeout(Base64::encoded_len(secret), PATIENCE)?;
    Base64::encode(secret, &mut encoded.expose_secret_mut()).map_err(|error| error.to_string())?;
    if credentials.contains(url) {
        credentials.replace(url, &encoded.expose_secret())?;
        return Ok(None);
    }
    let endpoint = Endpoint::new(url)?;
    credentials.insert(Arc::clone(&endpoint.url), &encoded.expose_secret())?;
    Ok(Some(endpoint))
}

const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_LINE: usize = 1024;
