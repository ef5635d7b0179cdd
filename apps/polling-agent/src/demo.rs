//! Server and agent together, a rotation in the middle, and a picture.

use std::env;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use strongroom::wipe_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use crate::agent::Agent;
use crate::list::{self, Endpoint};
use crate::{Failure, How, host, picture};

/// One second of a run.
pub(crate) struct Second {
    pub(crate) at: f64,
    pub(crate) polls: usize,
    pub(crate) refused: u64,
    /// Median, 99 of 100, and the longest.
    pub(crate) took: [Duration; 3],
    pub(crate) rotating: bool,
}

impl Agent {
    /// How long polls took since this was asked last.
    pub(crate) fn take_times(&self) -> Vec<Duration> {
        std::mem::take(&mut self.took.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The server's process, which ends with this.
struct Server {
    process: Child,
}

impl Server {
    fn start(endpoints: u32) -> Result<(Self, ChildStdout), Failure> {
        let mut process = Command::new(env::current_exe()?)
            .args(["serve", "--endpoints", &endpoints.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let list = process.stdout.take().ok_or("the server has no standard output")?;
        Ok((Self { process }, list))
    }

    fn rotate(&mut self) -> Result<(), Failure> {
        let stdin = self.process.stdin.as_mut().ok_or("the server has no standard input")?;
        Ok(stdin.write_all(b"rotate\n")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn run(
    endpoints: u32,
    duration: Duration,
    picture: &Path,
    how: &How,
) -> Result<(), Failure> {
    // Before this process narrows what it, and its children, may do.
    let (server, mut list) = Server::start(endpoints)?;
    let agent = Arc::new(Agent::new(how)?);
    host::check_files(endpoints as usize)?;
    let mut targets = Vec::new();
    list::read(&mut list, &agent.credentials, |endpoint| targets.push(endpoint))?;
    println!(
        "{} passwords sealed in {} bytes of records; polling each every {:?} for {duration:?}",
        agent.credentials.len(),
        agent.credentials.metrics().record_bytes,
        agent.interval
    );
    let play = play(&agent, targets, (server, list), duration, how);
    let seconds = host::runtime()?.block_on(play);
    let report = seconds.and_then(|seconds| report(&agent, &seconds, duration, picture));
    wipe_all();
    report
}

async fn play(
    agent: &Arc<Agent>,
    targets: Vec<Endpoint>,
    (mut server, list): (Server, ChildStdout),
    duration: Duration,
    how: &How,
) -> Result<Vec<Second>, Failure> {
    let metrics = agent.show_metrics(how).await?;
    let begun = Instant::now();
    let mut polls = JoinSet::new();
    agent.start(targets, &mut polls);
    let mut list = Some(list);
    let rotating = Arc::new(AtomicBool::new(false));
    let mut ticks = time::interval_at(begun + SECOND, SECOND);
    let (mut seconds, mut refused) = (Vec::new(), 0);
    while begun.elapsed() < duration {
        tokio::select! {
            _ = ticks.tick() => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Err("interrupted".into());
            }
        }
        let mut times = agent.take_times();
        times.sort_unstable();
        let part = |part: usize| times.get(times.len().saturating_sub(1) * part / 100);
        let took = [50, 99, 100].map(|percent| part(percent).copied().unwrap_or_default());
        let all_refused = agent.numbers.refused.get();
        seconds.push(Second {
            at: begun.elapsed().as_secs_f64(),
            polls: times.len(),
            refused: all_refused - refused,
            took,
            rotating: rotating.load(Ordering::Relaxed),
        });
        refused = all_refused;
        if seconds.len() % 10 == 0 {
            let (polls, missed) = (agent.numbers.succeeded.get(), agent.numbers.missed.get());
            println!("{:?}: {polls} polls, {missed} intervals missed", SECOND * ticks_of(&seconds));
        }
        scrape(metrics).await?;
        if begun.elapsed() > duration / 2
            && let Some(list) = list.take()
        {
            println!("replacing all passwords");
            rotating.store(true, Ordering::Relaxed);
            server.rotate()?;
            let (agent, rotating) = (Arc::clone(agent), Arc::clone(&rotating));
            // Nothing was left in the pipe behind the first list, so that none of its reader's is lost.
            thread::spawn(move || {
                match list::read(list, &agent.credentials, |_| {}) {
                    Ok(count) => {
                        agent.numbers.rotated.inc_by(count as u64);
                        println!("replaced {count} passwords");
                    }
                    Err(error) => eprintln!("the passwords were not replaced: {error}"),
                }
                rotating.store(false, Ordering::Relaxed);
            });
        }
    }
    polls.shutdown().await;
    Ok(seconds)
}

fn ticks_of(seconds: &[Second]) -> u32 {
    u32::try_from(seconds.len()).unwrap_or(u32::MAX)
}

/// Reads the metrics as Prometheus would.
async fn scrape(address: SocketAddr) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n") {
        Ok(())
    } else {
        Err(format!("these are no metrics: {answer}").into())
    }
}

fn report(
    agent: &Agent,
    seconds: &[Second],
    duration: Duration,
    picture: &Path,
) -> Result<(), Failure> {
    let (numbers, vault) = (&agent.numbers, agent.credentials.vault().metrics());
    let endpoints = agent.credentials.len() as u64;
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let longest = seconds.iter().map(|second| second.took[2]).max().unwrap_or_default();
    println!(
        "polls          {} answered, {} failed",
        numbers.succeeded.get(),
        numbers.failed.get()
    );
    println!("intervals      {} missed", numbers.missed.get());
    println!("longest        {longest:.1?} from when a poll was due to its answer");
    println!(
        "passwords      {} replaced, {} polls asked again",
        numbers.rotated.get(),
        numbers.refused.get()
    );
    println!("metrics        scraped {} times", numbers.scrapes.get());
    println!(
        "locked         {} bytes; {} secrets open at once at most, {} waited for room",
        vault.locked, vault.peak, vault.waits
    );
    println!("processor      {}.{} s of {duration:?}", used.tv_sec, used.tv_nsec / 100_000_000);
    picture::draw(picture, seconds, agent)?;
    println!("picture        {}", picture.display());

    let rounds = u64::try_from(duration.as_nanos() / agent.interval.as_nanos())?;
    // Those of the last round may be under way.
    let least = endpoints * rounds.saturating_sub(1);
    let faults = [
        (numbers.missed.get() > 0, "intervals were missed"),
        (numbers.failed.get() > 0, "polls failed"),
        (numbers.succeeded.get() < least, "there were too few polls"),
        (numbers.rotated.get() != endpoints, "not all passwords were replaced"),
    ];
    let faults: Vec<_> = faults.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| *what).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join(", ").into()) }
}

const SECOND: Duration = Duration::from_secs(1);
