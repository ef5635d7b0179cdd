//! Asking a person whether a key may be used, by the program that OpenSSH's agent asks with.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
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

    /// Asks. An empty answer, or `yes`, allows it.
    pub(crate) async fn ask(&self, question: &str) -> Result<(), Refusal> {
        let program = self.program.as_deref().ok_or(Refusal::NoProgram)?;
        let _turn = self.turn.lock().await;
        let answered = timeout(self.limit, answer(program, question)).await;
        let answer = answered.map_err(|_| Refusal::TimedOut(self.limit))?;
        let is_allowed = answer.map_err(|error| Refusal::Failed(program.into(), error))?;
        if is_allowed { Ok(()) } else { Err(Refusal::No) }
    }
}

/// Dropped when the time is up, which ends the program.
async fn answer(program: &Path, question: &str) -> io::Result<bool> {
    let mut command = Command::new(program);
    command.arg(question).env("SSH_ASKPASS_PROMPT", "confirm");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
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
