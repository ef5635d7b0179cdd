//! The tests: read, run one after the other, each within its time, and told.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::linux::{hibernate, power_off};

pub(crate) fn run() {
    let plan = fs::read_to_string("/plan").unwrap();
    for line in plan.lines() {
        let test = Test::read(line);
        let mut said = Vec::new();
        let outcome = test.run(&mut said);
        if matches!(outcome, Outcome::Failed(_)) {
            said.iter().for_each(|line| println!("guest: | {line}"));
        }
        println!("guest: {} {}", test.name, outcome.told());
    }
    println!("guest: done");
}

struct Test<'a> {
    name: &'a str,
    longest: Duration,
    settings: Vec<(&'a str, &'a str)>,
    command: Vec<&'a str>,
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

impl Outcome {
    fn told(&self) -> String {
        match self {
            Self::Passed => "ok".to_owned(),
            Self::Skipped(why) => format!("skipped ({why})"),
            Self::Failed(why) => format!("FAILED ({why})"),
        }
    }
}

impl<'a> Test<'a> {
    fn read(line: &'a str) -> Self {
        let mut fields = line.split('\t').peekable();
        let name = fields.next().unwrap();
        let longest = Duration::from_secs(fields.next().unwrap().parse().unwrap());
        let mut settings = Vec::new();
        while let Some(setting) = fields.next_if(|field| !field.starts_with('/')) {
            settings.push(setting.split_once('=').unwrap());
        }
        Self { name, longest, settings, command: fields.collect() }
    }

    /// Runs the test; what it says is added to `said`.
    fn run(&self, said: &mut Vec<String>) -> Outcome {
        let mut command = Command::new(self.command[0]);
        command.args(&self.command[1..]).envs(self.settings.iter().copied());
        command.env("STRONGROOM_GUEST", "1").env("PATH", "/bin").env("HOME", "/tmp");
        // What it starts as well is to end with it.
        command.current_dir("/tmp").process_group(0).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        let (sender, lines) = mpsc::channel();
        listen(child.stdout.take().unwrap(), sender.clone());
        listen(child.stderr.take().unwrap(), sender);
        let status = self.wait(&mut child, &lines, said);
        // SAFETY: the group is the child's own, which nobody has waited for but this process.
        unsafe { libc::kill(-child.id().cast_signed(), libc::SIGKILL) };
        // Orphans may still have the pipes.
        while let Ok(line) = lines.recv_timeout(Duration::from_millis(50)) {
            self.hear(line, said);
        }
        match status {
            None => Outcome::Failed(format!("not done after {:?}", self.longest)),
            Some(status) if !status.success() => Outcome::Failed(ended(status)),
            Some(_) => {
                let skipped = said.iter().find_map(|line| line.strip_prefix("skipped: "));
                skipped.map_or(Outcome::Passed, |why| Outcome::Skipped(why.to_owned()))
            }
        }
    }

    /// Listens until the child ends, or its time is over.
    fn wait(
        &self,
        child: &mut Child,
        lines: &Receiver<String>,
        said: &mut Vec<String>,
    ) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            match lines.recv_timeout(Duration::from_millis(5)) {
                Ok(line) => self.hear(line, said),
                // It has closed both, and ends.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(1)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Some(status);
            }
            if begun.elapsed() > self.longest {
                return None;
            }
        }
    }

    fn hear(&self, line: String, said: &mut Vec<String>) {
        let last = match line.as_str() {
            "told power-off" => power_off,
            "told hibernate" => hibernate,
            _ => return keep(line, said),
        };
        println!("guest: {} ok", self.name);
        println!("guest: done");
        last();
    }
}

fn keep(line: String, said: &mut Vec<String>) {
    if line.starts_with("told ") {
        println!("guest: {line}");
    }
    said.push(line);
}

fn listen(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if to.send(text).is_err() {
                return;
            }
        }
    });
}

fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("died of signal {signal}"),
        None => format!("ended with {}", status.code().unwrap_or(-1)),
    }
}
