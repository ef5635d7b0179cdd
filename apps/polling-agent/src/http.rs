//! As much of an HTTP/1.1 client as a poll needs. Libraries take headers as values of their own and copy
//! them into a buffer for writing; here the credentials go from locked memory to the socket.

use std::io::{self, ErrorKind, IoSlice};

use strongroom::SharedOpened;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A connection to one endpoint, kept open between polls.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn new(address: std::net::SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Whether the other side has closed it, or said what nobody asked for.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits until something can be written, before a secret is opened for it.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Writes a request whose credentials are in locked memory, all of it from where it lies.
    pub(crate) async fn write(
        &self,
        before: &[u8],
        secret: SharedOpened<'_>,
        behind: &[u8],
    ) -> io::Result<()> {
        let (mut written, all) = (0, before.len() + secret.len() + behind.len());
        while written < all {
            let now = {
                let secret = secret.expose_secret();
                let parts = [before, &secret[..], behind];
                let mut skip = written;
                let rest = parts.map(|part| {
                    let here = skip.min(part.len());
                    skip -= here;
                    IoSlice::new(&part[here..])
                });
                self.stream.try_write_vectored(&rest)
            };
            match now {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads an answer, and gives its status.
    pub(crate) async fn answer(&mut self) -> io::Result<u16> {
        self.answer.clear();
        loop {
            if self.answer.len() > LONGEST {
                return Err(wrong("the answer is longer than 64 KiB"));
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            let parsed = response.parse(&self.answer).map_err(|error| wrong(&error.to_string()))?;
            if let httparse::Status::Complete(head) = parsed {
                let length = |header: &&httparse::Header<'_>| {
                    header.name.eq_ignore_ascii_case("content-length")
                };
                let length = response.headers.iter().find(length);
                let length =
                    length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
                let length: usize = length.ok_or_else(|| wrong("there is no Content-Length"))?;
                if self.answer.len() - head >= length {
                    return Ok(response.code.unwrap_or_default());
                }
            }
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

const LONGEST: usize = 64 * 1024;
