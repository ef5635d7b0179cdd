//! The agent as it works: an endpoint's task each, metrics, and a list that is read again.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use strongroom::{Vault, wipe_all};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::agent::Agent;
use crate::list::{self, Credentials, Endpoint};
use crate::metrics::{self, Numbers};
use crate::{Failure, How, host};

impl Agent {
    /// One that has no passwords yet, on one core and within its limit from now on.
    pub(crate) fn new(how: &How) -> Result<Self, Failure> {
        host::allow_files()?;
        host::lock_no_more_than(how.limit)?;
        let core = host::stay_on_one_core()?;
        let vault = Arc::new(Vault::new(how.limit)?);
        println!("on core {core}, locked {} of {} bytes", vault.metrics().locked, how.limit);
        Ok(Self {
            credentials: Arc::new(Credentials::new(vault.share())),
            interval: how.interval(),
            numbers: Numbers::new(),
            took: Mutex::default(),
        })
    }

    /// Starts a task for each endpoint, their polls spread over the interval.
    pub(crate) fn start(self: &Arc<Self>, endpoints: Vec<Endpoint>, polls: &mut JoinSet<()>) {
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        for (number, endpoint) in (0..).zip(endpoints) {
            let delay = self.interval * number / count;
            polls.spawn(Arc::clone(self).poll_for_ever(endpoint, delay));
        }
    }

    /// Starts answering those who ask for the metrics, and says where.
    pub(crate) async fn show_metrics(&self, how: &How) -> Result<std::net::SocketAddr, Failure> {
        let listener = TcpListener::bind(how.metrics).await;
        let listener =
            listener.map_err(|error| format!("cannot listen on {}: {error}", how.metrics))?;
        let address = listener.local_addr()?;
        let vault = Arc::clone(self.credentials.vault());
        tokio::spawn(metrics::serve(listener, self.numbers.clone(), vault));
        println!("metrics on http://{address}/metrics");
        Ok(address)
    }
}

/// Polls the endpoints of a file until it is told to end.
pub(crate) fn poll(path: &Path, how: &How) -> Result<(), Failure> {
    let agent = Arc::new(Agent::new(how)?);
    let endpoints = read_file(path, &agent)?;
    host::check_files(endpoints.len())?;
    println!("polling {} endpoints, each every {:?}", endpoints.len(), agent.interval);
    let done = host::runtime()?.block_on(poll_until_told(path, &agent, endpoints, how));
    wipe_all();
    done
}

async fn poll_until_told(
    path: &Path,
    agent: &Arc<Agent>,
    endpoints: Vec<Endpoint>,
    how: &How,
) -> Result<(), Failure> {
    agent.show_metrics(how).await?;
    let mut polls = JoinSet::new();
    agent.start(endpoints, &mut polls);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut forget = tokio::time::interval(Duration::from_secs(1));
    let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                let (path, agent, sender) = (path.to_owned(), Arc::clone(agent), sender.clone());
                // Files, and room in the vault, may have to be waited for.
                thread::spawn(move || sender.send(read_file(&path, &agent)));
            }
            Some(endpoints) = read.recv() => match endpoints {
                Ok(endpoints) => {
                    println!("read the list again: {} new endpoints", endpoints.len());
                    agent.start(endpoints, &mut polls);
                }
                Err(error) => eprintln!("the list was not read again: {error}"),
            },
            _ = forget.tick() => drop(agent.take_times()),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    polls.shutdown().await;
    println!("stopped after {} polls", agent.numbers.succeeded.get());
    Ok(())
}

fn read_file(path: &Path, agent: &Agent) -> Result<Vec<Endpoint>, Failure> {
    let named = |error: Failure| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| named(error.into()))?;
    let mut endpoints = Vec::new();
    let count = list::read(file, &agent.credentials, |endpoint| endpoints.push(endpoint));
    let replaced = count.map_err(named)? - endpoints.len();
    agent.numbers.rotated.inc_by(replaced as u64);
    Ok(endpoints)
}
