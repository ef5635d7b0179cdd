//! A real `sshd` on the loopback, with a host key and users' keys of its own.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Agent, done, find, folder, is_root, new_key, wait_until};

pub struct Sshd {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Sshd {
    /// Lets those in who have one of these public keys.
    pub fn start(keys: &[PathBuf]) -> Self {
        Self::start_with(keys, "")
    }

    /// The same, with more lines of configuration.
    pub fn start_with(keys: &[PathBuf], more: &str) -> Self {
        let folder = folder();
        let host_key = new_key(folder.path(), "ed25519");
        let public = |key: &PathBuf| fs::read_to_string(key.with_extension("pub")).unwrap();
        let authorized = folder.path().join("authorized");
        fs::write(&authorized, keys.iter().map(public).collect::<String>()).unwrap();
        if is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration = folder.path().join("configuration");
        let lines = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nSetEnv PATH={}\nMaxStartups 100\n{more}",
            host_key.display(),
            authorized.display(),
            env::var("PATH").unwrap(),
        );
        fs::write(&configuration, lines).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(find("sshd").unwrap());
        command.args(["-D", "-e", "-f"]).arg(&configuration);
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let sshd = Self { child, folder, port };
        wait_until("sshd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        sshd
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// `ssh` as a program calls it.
    pub fn ssh(&self, options: &[&str]) -> String {
        let known = self.folder.path().join("known").display().to_string();
        let fixed = "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR";
        format!("{fixed} -o UserKnownHostsFile={known} -p {} {}", self.port, options.join(" "))
    }

    /// Logs in and runs a command; whether that went well, and what was said.
    pub fn run(&self, agent: &Agent, options: &[&str], command: &str) -> (bool, String) {
        let ssh = self.ssh(options);
        let mut words = ssh.split(' ').filter(|word| !word.is_empty());
        let mut ssh = agent.command(words.next().unwrap());
        let output = ssh.args(words).arg("127.0.0.1").arg(command).output().unwrap();
        (output.status.success(), super::told(&output))
    }

    /// `git`, which uses `ssh` and the agent.
    pub fn git(&self, agent: &Agent, folder: &Path, arguments: &[&str]) -> String {
        let mut git = agent.command("git");
        git.current_dir(folder).args(arguments).env("GIT_SSH_COMMAND", self.ssh(&[]));
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        done(&mut git)
    }

    /// Where a folder is for `git`.
    pub fn url(&self, folder: &Path) -> String {
        format!("ssh://127.0.0.1:{}{}", self.port, folder.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("sshd said:\n{}", self.log());
        }
    }
}
