//! Messages: what holds a key or a password is read from the socket straight into locked memory.

use std::io::{self, ErrorKind};
use std::time::Duration;

use ssh_agent_lib::proto::{Request, Response};
use ssh_agent_lib::ssh_encoding::{self, Decode, Encode};
use strongroom::{OpenError, OwnedOpened, Share};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A client's message.
#[derive(Debug)]
pub(crate) enum Message {
    /// One in which nothing is secret.
    Open(Request),
    /// One with a secret in it: what it asks for, and all that is behind that, in locked memory.
    Secret(Secret, OwnedOpened),
    /// One that is not understood.
    Unknown(u8),
}

/// What a message with a secret in it asks for (draft-miller-ssh-agent, section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    Add,
    AddConstrained,
    Lock,
    Unlock,
    /// Anything about a card: there is a PIN in it.
    Card,
}

/// Why a message was not read. The connection cannot be used any more.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The client has gone, which is how a connection ends.
    End,
    TooLong {
        len: usize,
        most: usize,
    },
    /// There was no locked memory for it.
    NoRoom {
        len: usize,
        error: Option<OpenError>,
    },
    TooSlow,
    Io(io::Error),
}

/// Reads the next message. `room` is where those with a secret go.
pub(crate) async fn read(stream: &UnixStream, room: &Share) -> Result<Message, ReadError> {
    let mut header = [0; HEADER];
    fill(stream, &mut header).await.map_err(ReadError::from)?;
    let [a, b, c, d, kind] = header;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let secret = secret_of(kind);
    let most = if secret.is_some() { LONGEST_SECRET } else { LONGEST };
    if len == 0 || len > most {
        return Err(ReadError::TooLong { len, most });
    }
    let body = async {
        let Some(secret) = secret else {
            let mut body = vec![0; len];
            body[0] = kind;
            fill(stream, &mut body[1..]).await?;
            let request = Request::decode(&mut &*body);
            return Ok(request.map_or(Message::Unknown(kind), Message::Open));
        };
        let allocated = timeout(TIME_FOR_ROOM, room.allocate(len - 1)).await;
        let error = match allocated {
            Ok(Ok(mut body)) => {
                fill_locked(stream, &mut body).await?;
                return Ok(Message::Secret(secret, body));
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        Err(ReadError::NoRoom { len, error })
    };
    // Nobody keeps locked memory by sending half a message.
    timeout(TIME_FOR_MESSAGE, body).await.unwrap_or(Err(ReadError::TooSlow))
}

/// Writes an answer.
pub(crate) async fn write(stream: &mut UnixStream, response: &Response) -> io::Result<()> {
    let bytes = encoded(response).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    stream.write_all(&bytes).await
}

fn encoded(response: &Response) -> ssh_encoding::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    response.encode_prefixed(&mut bytes)?;
    Ok(bytes)
}

fn secret_of(kind: u8) -> Option<Secret> {
    match kind {
        17 => Some(Secret::Add),
        25 => Some(Secret::AddConstrained),
        22 => Some(Secret::Lock),
        23 => Some(Secret::Unlock),
        20 | 21 | 26 => Some(Secret::Card),
        _ => None,
    }
}

async fn fill(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        stream.readable().await?;
        filled += count(stream.try_read(&mut bytes[filled..]))?;
    }
    Ok(())
}

/// The same, into locked memory: the kernel writes there.
async fn fill_locked(stream: &UnixStream, body: &mut OwnedOpened) -> io::Result<()> {
    let mut filled = 0;
    while filled < body.len() {
        stream.readable().await?;
        filled += count(stream.try_read(&mut body.expose_secret_mut()[filled..]))?;
    }
    Ok(())
}

fn count(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        read => read,
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Self::End,
            _ => Self::Io(error),
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End => f.write_str("the client has gone"),
            Self::TooLong { len, most } => write!(
                f,
                "a client sent a message of {len} bytes, and {most} is the most of that kind: is it an \
                 SSH client?"
            ),
            Self::NoRoom { len, error: Some(error) } => {
                write!(f, "no locked memory for a message of {len} bytes: {error}")
            }
            Self::NoRoom { len, error: None } => write!(
                f,
                "no locked memory for a message of {len} bytes in {} s, for others are sending theirs: \
                 try again, or start the agent with a larger --budget",
                TIME_FOR_ROOM.as_secs()
            ),
            Self::TooSlow => write!(
                f,
                "a client began a message and did not end it within {} s",
                TIME_FOR_MESSAGE.as_secs()
            ),
            Self::Io(error) => write!(f, "a client could not be read from: {error}"),
        }
    }
}

/// The length and the kind.
const HEADER: usize = 5;

/// Bytes of a message that OpenSSH's agent takes (`AGENT_MAX_LEN`).
const LONGEST: usize = 256 * 1024;

/// Bytes of one with a secret in it: RSA keys of 16,384 bits have less.
pub(crate) const LONGEST_SECRET: usize = 8 * 1024;

const TIME_FOR_ROOM: Duration = Duration::from_secs(5);
const TIME_FOR_MESSAGE: Duration = Duration::from_secs(10);
