//! The socket, and those who connect to it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{self, Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use tokio::io::{Interest, Ready};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use crate::agent::Agent;
use crate::log::say;
use crate::message::{self, ReadError};

/// The socket's place in the file system.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// The folder that was made for it.
    folder: Option<PathBuf>,
}

impl Place {
    /// Makes the socket, which nobody else can connect to: at a path, or in a folder of its own.
    pub(crate) fn bind(path: Option<&Path>) -> Result<(StdListener, Self), String> {
        let place = match path {
            Some(path) => {
                // The folder that it is told from is left in the background.
                let path = path::absolute(path);
                let path = path.map_err(|error| format!("the socket has no path: {error}"))?;
                Self { path, folder: None }
            }
            None => Self::in_own_folder()
                .map_err(|error| format!("no folder could be made for the socket: {error}"))?,
        };
        // Of the owner alone from the first moment on.
        let before = umask(Mode::from_raw_mode(0o177));
        let bound = StdListener::bind(&place.path);
        umask(before);
        match bound {
            Ok(listener) => Ok((listener, place)),
            Err(error) => {
                let shown = place.path.display();
                let told = if error.kind() == io::ErrorKind::AddrInUse {
                    format!(
                        "there is a file at {shown} already: if no other agent uses it, remove it"
                    )
                } else {
                    format!("no socket could be made at {shown}: {error}")
                };
                if let Some(folder) = &place.folder {
                    let _ = fs::remove_dir(folder);
                }
                Err(told)
            }
        }
    }

    fn in_own_folder() -> io::Result<Self> {
        let private = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("ssh-").permissions(private).tempdir()?.keep();
        Ok(Self { path: folder.join(format!("agent.{}", process::id())), folder: Some(folder) })
    }

    /// Removes the socket, when the agent ends.
    pub(crate) fn remove(&self) {
        // It may be gone already, which is as good.
        let _ = fs::remove_file(&self.path);
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Serves all who connect. It ends only if the socket fails.
pub(crate) async fn serve(listener: UnixListener, agent: Arc<Agent>) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let agent = Arc::clone(&agent);
                tokio::spawn(async move { connection(stream, &agent).await });
            }
            // Too many files are open: some will be closed.
            Err(error) => {
                say(|| format!("a client could not connect: {error}"));
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(mut stream: UnixStream, agent: &Agent) {
    if let Err(refused) = check_peer(&stream) {
        say(|| refused);
        return;
    }
    loop {
        let message = match message::read(&stream, agent.room()).await {
            Ok(message) => message,
            Err(ReadError::End) => return,
            Err(error) => {
                say(|| error.to_string());
                return;
            }
        };
        let response = agent.respond(message, hung_up(&stream)).await;
        if let Err(error) = message::write(&mut stream, &response).await {
            if error.kind() != io::ErrorKind::BrokenPipe {
                say(|| format!("a client was not answered: {error}"));
            }
            return;
        }
    }
}

/// Waits until a client has closed its end: looked at now and then, for a person takes longer anyway.
async fn hung_up(stream: &UnixStream) {
    loop {
        sleep(BETWEEN_LOOKS).await;
        // Who will send no more, may read still.
        if stream.ready(Interest::WRITABLE).await.is_ok_and(Ready::is_write_closed) {
            return;
        }
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Whether a client is the same user's or root's, as the kernel has it (`SO_PEERCRED`, unix(7)).
fn check_peer(stream: &UnixStream) -> Result<(), String> {
    let peer =
        stream.peer_cred().map_err(|error| format!("who a client is, is not known: {error}"))?;
    if peer.uid() == 0 || peer.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(format!("user {} tried to use the agent of user {}", peer.uid(), geteuid().as_raw()))
}
