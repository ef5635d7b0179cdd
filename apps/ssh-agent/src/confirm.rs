//! Asking a person whether a key may be used, by the program that OpenSSH's agent asks with.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Who is asked, and for how long.
#[derive(Debug)]
pub(crate) struct Confirm {
    program: Option<PathBuf>,
    limit: Duration,
    /// One question at a time: two windows at once would be answered for each other.
    turn: Mutex<()>,
}

/// Why a key may not be used.
#[derive(Debug)]
pub(crate) enum Refusal {
    No,
    TimedOut(Duration),
    /// Who wanted to use it has gone.
    Gone,
    NoProgram,
    Failed(PathBuf, io::Error),
}

impl Confirm {
    /// Finds the program: `SSH_ASKPASS`, or the distribution's.
    pub(crate) fn new(limit: Duration) -> Self {
        let named = env::var_os("SSH_ASKPASS").filter(|name| !name.is_empty()).map(PathBuf::from);
        let default = Some(PathBuf::from(DEFAULT)).filter(|path| path.exists());
        Self { program: named.or(default), limit, turn: Mutex::new(()) }
    }

    /// Asks. An empty answer, or `yes`, allows it. Nobody is asked any longer for a client who is `gone`.
    pub(crate) async fn ask(
        &self,
        question: &str,
        gone: impl Future<Output = ()>,
    ) -> Result<(), Refusal> {
        let program = self.program.as_deref().ok_or(Refusal::NoProgram)?;
        let failed = |error| Refusal::Failed(program.into(), error);
        let mut gone = pin!(gone);
        let _turn = tokio::select! {
            turn = self.turn.lock() => turn,
            () = &mut gone => return Err(Refusal::Gone),
        };
        let mut child = start(program, question).map_err(failed)?;
        let answered = tokio::select! {
            answered = timeout(self.limit, answer(&mut child)) => {
                answered.map_err(|_| Refusal::TimedOut(self.limit))
            }
            () = gone => Err(Refusal::Gone),
        };
        // It may have ended, which is as good.
        let _ = child.kill().await;
        if answered?.map_err(failed)? { Ok(()) } else { Err(Refusal::No) }
    }
}

fn start(program: &Path, question: &str) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg(question).env("SSH_ASKPASS_PROMPT", "confirm");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()
}

async fn answer(child: &mut Child) -> io::Result<bool> {
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    }
    let is_done = child.wait().await?.success();
    let answer = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    Ok(is_done && (answer.is_empty() || answer.eq_ignore_ascii_case(b"yes")))
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("it was not allowed"),
            Self::TimedOut(limit) => write!(
                f,
                "nobody allowed it within {} s: answer sooner, or start the agent with a longer \
                 --confirm-time",
                limit.as_secs()
            ),
            Self::Gone => f.write_str("the client has gone"),
            Self::NoProgram => write!(
                f,
                "there is no program to ask with: start the agent with SSH_ASKPASS set, or install one \
                 ({DEFAULT})"
            ),
            Self::Failed(program, error) => write!(
                f,
                "{} could not ask: {error}; start the agent with another SSH_ASKPASS",
                program.display()
            ),
        }
    }
}

const DEFAULT: &str = "/usr/bin/ssh-askpass";
const LONGEST_ANSWER: u64 = 1024;
