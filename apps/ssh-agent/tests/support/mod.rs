//! The agent and the real programs around it, as the tests and the comparison start them.
#![allow(dead_code, reason = "each needs a part of it")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may fail by panicking")]
#![allow(missing_docs, unreachable_pub, reason = "it is part of several programs")]

pub mod core_file;
pub mod sshd;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ssh_agent_lib::blocking::Client;
use ssh_agent_lib::proto::{AddIdentity, PrivateCredential, PublicCredential, SignRequest};
use ssh_agent_lib::ssh_key::Signature;
use ssh_agent_lib::ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_agent_lib::ssh_key::public::KeyData;
use tempfile::TempDir;

/// Says that a test was skipped if one of the programs is not here.
pub fn are_here(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        println!(
            "skipped: not here: {missing:?} (openssh-client, openssh-server, git, gdb, util-linux)"
        );
    }
    missing.is_empty()
}

/// Where a program is. `sshd` has to be started by its whole path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("ssh-agent-test-").tempdir().unwrap()
}

/// A script that is run in the place of `ssh-askpass`.
pub fn script(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// A new key file without a passphrase.
pub fn new_key(folder: &Path, kind: &str) -> PathBuf {
    let path = folder.join(kind);
    let bits: &[&str] = if kind == "rsa" { &["-b", "2048"] } else { &[] };
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", "", "-C", &format!("a key for {kind}"), "-f"]).arg(&path);
    done(command.args(bits));
    path
}

/// Runs a program that must not fail.
pub fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = told(&output);
    assert!(output.status.success(), "{command:?}: {told}");
    told
}

/// All that a program has said.
pub fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Waits until something is so.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An agent, ours or OpenSSH's, that ends with its guard.
pub struct Agent {
    pub child: Child,
    pub socket: PathBuf,
    pub folder: TempDir,
}

impl Agent {
    /// Ours, with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |_| {})
    }

    /// The same, started in another way or surroundings.
    pub fn start_with(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program());
        change(&mut command);
        Self::run(command, arguments)
    }

    pub fn run(mut command: Command, arguments: &[&str]) -> Self {
        let folder = folder();
        let socket = folder.path().join("socket");
        command.arg("-D").arg("-a").arg(&socket).args(arguments);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let announced = lines.map_while(Result::ok).any(|line| line.starts_with("echo Agent pid"));
        let agent = Self { child, socket, folder };
        assert!(announced, "{command:?}: {}", agent.log());
        agent
    }

    /// OpenSSH's.
    pub fn start_openssh() -> Self {
        Self::run(Command::new("ssh-agent"), &[])
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub fn wait_for(&self, line: &str) {
        wait_until(line, || self.log().contains(line));
    }

    /// A program of OpenSSH's that uses this agent.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SSH_AUTH_SOCK", &self.socket).stdin(Stdio::null());
        command
    }

    pub fn ssh_add<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> Output {
        self.command("ssh-add").args(arguments).output().unwrap()
    }

    pub fn added<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> String {
        done(self.command("ssh-add").args(arguments))
    }

    /// `ssh-add -x` or `-X`, with a password.
    pub fn ssh_add_password(&self, argument: &str, password: &str) -> Output {
        let script = script(self.folder.path(), "password", &format!("echo '{password}'"));
        let mut command = self.command("ssh-add");
        command.arg(argument).env("SSH_ASKPASS", script).env("SSH_ASKPASS_REQUIRE", "force");
        command.output().unwrap()
    }

    /// The lines of `ssh-add -l`.
    pub fn list(&self) -> Vec<String> {
        let told = told(&self.ssh_add(&["-l"]));
        let lines = told.lines().filter(|line| line.contains("SHA256:"));
        lines.map(str::to_owned).collect()
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    pub fn client(&self) -> Client<UnixStream> {
        Client::new(self.connect())
    }

    /// A number of `/proc/PID/status`, in KiB.
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn signal(&mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let first = log.lines().rev().nth(LINES_SHOWN);
            let start = first.map_or(0, |first| log.rfind(first).unwrap_or(0));
            println!("the agent said at last:\n{}", &log[start..]);
        }
    }
}

const LINES_SHOWN: usize = 10;

/// This package's program, beside the test or the example.
pub fn program() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_strongroom-ssh-agent") {
        return path.into();
    }
    let here = env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("strongroom-ssh-agent")
}

/// A key pair out of a number, and its seed.
pub fn numbered(number: u32) -> ([u8; 32], Ed25519Keypair) {
    let seed = seed(number);
    (seed, Ed25519Keypair::from_seed(&seed))
}

/// Random enough to be searched for.
pub fn seed(number: u32) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest([&b"key "[..], &number.to_be_bytes()].concat()).into()
}

pub fn adding(pair: Ed25519Keypair, comment: &str) -> AddIdentity {
    let privkey = KeypairData::Ed25519(pair);
    AddIdentity { credential: PrivateCredential::Key { privkey, comment: comment.to_owned() } }
}

pub fn signing(public: KeyData, data: &[u8], flags: u32) -> SignRequest {
    SignRequest { credential: PublicCredential::Key(public), data: data.to_owned(), flags }
}

pub fn verify(public: &KeyData, data: &[u8], signature: &Signature) {
    signature::Verifier::verify(public, data, signature).unwrap();
}
