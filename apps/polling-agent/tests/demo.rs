//! The program as it is started, with curl as the scraper.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use memchr::memmem;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_strongroom-polling-agent");

/// A process, which ends with the test.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
    said: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines, said: String::new() }
    }

    /// The rest of the first line that has this in it.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            let begin = self.said.len();
            assert_ne!(
                self.lines.read_line(&mut self.said).unwrap(),
                0,
                "no {text}: {}",
                self.said
            );
            if let Some((_, rest)) = self.said[begin..].split_once(text) {
                return rest.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Whether it ended well, and what it said.
    fn end(mut self) -> (bool, String) {
        let mut said = std::mem::take(&mut self.said);
        self.lines.read_to_string(&mut said).unwrap();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().success(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The value of a metric, as curl gets it; nothing if there is no curl.
fn scrape(url: &str, name: &str) -> Option<u64> {
    let Ok(answer) =
        Command::new("curl").args(["-sS", "--noproxy", "*", "--max-time", "10", url]).output()
    else {
        println!("skipped: there is no curl");
        return None;
    };
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some(value.unwrap_or_else(|| panic!("there is no {name} in {text}")))
}

#[test]
fn a_rotation_under_load_misses_no_interval_and_is_seen_in_the_metrics() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("run.svg");
    let mut demo = Running::start(&[
        "demo",
        "--endpoints",
        "300",
        "--seconds",
        "6",
        "--interval",
        "500",
        "--picture",
        picture.to_str().unwrap(),
    ]);
    let url = demo.wait_for("metrics on ");
    demo.wait_for("replaced 300 passwords");
    if let Some(rotated) = scrape(&url, "polling_agent_passwords_rotated_total") {
        assert_eq!(rotated, 300);
        assert!(scrape(&url, "polling_agent_polls_succeeded_total").unwrap() > 300);
        assert_eq!(scrape(&url, "polling_agent_intervals_missed_total"), Some(0));
        // Some came with the old password when the new one held already, and asked again.
        assert!(scrape(&url, "polling_agent_passwords_refused_total").unwrap() > 0);
        assert!(scrape(&url, "polling_agent_vault_locked_bytes").unwrap() <= 16 * 1024);
    }
    let (well, said) = demo.end();
    assert!(well, "{said}");
    assert!(fs::read_to_string(picture).unwrap().contains("<svg"));
}

#[test]
fn a_missed_interval_ends_the_demonstration_with_a_failure() {
    let folder = TempDir::new().unwrap();
    let picture = folder.path().join("run.svg");
    let mut demo = Running::start(&[
        "demo",
        "--endpoints",
        "50",
        "--seconds",
        "5",
        "--interval",
        "300",
        "--picture",
        picture.to_str().unwrap(),
    ]);
    demo.wait_for("metrics on ");
    thread::sleep(Duration::from_millis(500));
    demo.signal("-STOP");
    thread::sleep(Duration::from_millis(1500));
    demo.signal("-CONT");
    let (well, said) = demo.end();
    assert!(!well && said.contains("intervals were missed"), "{said}");
}

#[test]
fn a_list_is_polled_and_read_again_when_told() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list");
    let mut server = Running::start(&["serve", "--endpoints", "20"]);
    let lines = |server: &mut Running| {
        let begin = server.said.len();
        while !server.said.ends_with("\n\n") || server.said.len() == begin {
            server.lines.read_line(&mut server.said).unwrap();
        }
        server.said[begin..].trim().to_owned() + "\n"
    };
    let first = lines(&mut server);
    fs::write(&list, &first).unwrap();
    let mut agent =
        Running::start(&["poll", "--list", list.to_str().unwrap(), "--interval", "400"]);
    let url = agent.wait_for("metrics on ");
    let until = |name: &str, least: u64| {
        let begun = Instant::now();
        while scrape(&url, name).is_some_and(|value| value < least) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} is below {least}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    until("polling_agent_polls_succeeded_total", 40);
    search_cores(&folder, &server, &agent, &first);
    server.process.stdin.as_mut().unwrap().write_all(b"rotate\n").unwrap();
    let second = lines(&mut server);
    assert_ne!(first, second);
    // With the passwords of before, polls fail, and say so.
    until("polling_agent_polls_failed_total", 1);
    fs::write(&list, second).unwrap();
    agent.signal("-HUP");
    agent.wait_for("read the list again: 0 new endpoints");
    until("polling_agent_passwords_rotated_total", 20);
    let before = scrape(&url, "polling_agent_polls_succeeded_total").unwrap_or(0);
    until("polling_agent_polls_succeeded_total", before + 40);
    agent.signal("-TERM");
    let (well, said) = agent.end();
    assert!(well && said.contains("status 401") && said.contains("stopped after"), "{said}");
}

/// No password is in a core file of the agent, as it is or encoded; all are in one of the server.
fn search_cores(folder: &TempDir, server: &Running, agent: &Running, list: &str) {
    let prefix = folder.path().join("core");
    let core = |process: &Child| {
        let id = process.id().to_string();
        let dump = Command::new("gcore").arg("-a").arg("-o").arg(&prefix).arg(&id).output().ok()?;
        let core = fs::read(folder.path().join(format!("core.{id}")));
        Some(core.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&dump.stderr))))
    };
    let (Some(server), Some(agent)) = (core(&server.process), core(&agent.process)) else {
        println!("skipped: there is no gcore");
        return;
    };
    for line in list.lines() {
        let (url, secret) = line.split_once(' ').unwrap();
        let (_, password) = secret.split_once(':').unwrap();
        let encoded = Base64::encode_string(secret.as_bytes());
        let is_in = |core: &[u8], what: &str| memmem::find(core, what.as_bytes()).is_some();
        assert!(is_in(&agent, url), "{url} is not where it must be");
        assert!(is_in(&server, &encoded), "{encoded} is not where it must be");
        // What comes first of the encoded text is the user's name.
        for what in [password, &encoded, &encoded[16..32]] {
            assert!(!is_in(&agent, what), "{what} of {url} is in the agent's core file");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_remedy() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("list");
    let refusal = |text: &str| {
        fs::write(&list, text).unwrap();
        let (well, said) = Running::start(&["poll", "--list", list.to_str().unwrap()]).end();
        assert!(!well, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        said
    };
    assert!(refusal("http://127.0.0.1:1/a").contains("line 1 of the list: there is no space"));
    assert!(refusal("http://127.0.0.1:1/a hunter2").contains("there is no USER:PASSWORD"));
    assert!(refusal("ftp://127.0.0.1/a u:hunter2").contains("not of the form http://"));
    // The port of another.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fs::write(&list, "http://127.0.0.1:1/a u:hunter2\n").unwrap();
    let path = list.to_str().unwrap();
    let (well, said) = Running::start(&["poll", "--list", path, "--metrics", &address]).end();
    assert!(!well && said.contains(&format!("cannot listen on {address}")), "{said}");
}
