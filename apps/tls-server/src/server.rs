//! Handshakes, and a page for each name.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsAcceptor;

/// What a server has done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Handshakes that came to their end.
    pub handshakes: AtomicU64,
    /// Those that did not: a name that is not here, a client that does not trust us or went away.
    pub refused: AtomicU64,
}

/// Answers connections until `stop` is over; those that are open then have [`LAST_CALL`] to end.
pub async fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    tally: Arc<Tally>,
    stop: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(config);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(answer(stream, acceptor.clone(), Arc::clone(&tally)));
                }
                // Too many open files, most likely: they become fewer.
                Err(_) => time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off.
    let _ = time::timeout(LAST_CALL, ended).await;
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, tally: Arc<Tally>) {
    let handshake = async {
        stream.set_nodelay(true)?;
        acceptor.accept(stream).await
    };
    let Ok(Ok(mut stream)) = time::timeout(PATIENCE, handshake).await else {
        tally.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    tally.handshakes.fetch_add(1, Ordering::Relaxed);
    let talk = async {
        if !read_request(&mut stream).await? {
            return Ok(());
        }
        let name = stream.get_ref().1.server_name().unwrap_or_default();
        let page = format!("This is {name}.\n");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{page}",
            page.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // A client that goes away, or says nothing, is its own business.
    let _: Result<io::Result<()>, _> = time::timeout(PATIENCE, talk).await;
}

/// Reads a request's head, and says whether there was one.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<bool> {
    let (mut head, mut len) = ([0; LONGEST_HEAD], 0);
    while len < head.len() {
        match stream.read(&mut head[len..]).await? {
            0 => return Ok(false),
            more => len += more,
        }
        if head[..len].windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How long a client may take for its handshake, and for its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long open connections have when the server stops.
pub const LAST_CALL: Duration = Duration::from_secs(5);
const LONGEST_HEAD: usize = 8 * 1024;
