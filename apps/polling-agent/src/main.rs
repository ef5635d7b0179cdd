//! Polls thousands of endpoints with a user and password each, on one core and within a lock limit of
//! 16 KiB. `--help` says how it is used.

mod agent;
mod demo;
mod host;
mod http;
mod list;
mod metrics;
mod picture;
mod run;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Whatever keeps the program from its work; its text is for a person.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Polls thousands of endpoints over HTTP with a user and password each, on one core, with the passwords
/// sealed in little locked memory.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Polls the endpoints of a list. SIGHUP reads the list again, for new passwords and endpoints.
    Poll {
        /// A file with a line `http://ADDRESS:PORT/PATH USER:PASSWORD` for each endpoint.
        #[arg(long)]
        list: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Plays it all: starts a server, polls it, replaces all passwords in the middle, draws a picture.
    Demo {
        /// How many endpoints there are.
        #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
        endpoints: u32,
        /// How many seconds it takes.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..))]
        seconds: u64,
        /// Where the picture goes, in SVG.
        #[arg(long, default_value = "polling-agent.svg")]
        picture: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The demonstration's server alone. It writes passwords to standard output, and new ones for each
    /// line on standard input.
    Serve {
        /// How many endpoints there are.
        #[arg(long, default_value_t = 5000)]
        endpoints: u32,
        /// The address to listen on; port 0 is any free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

/// How polls are made.
#[derive(Args)]
pub(crate) struct How {
    /// Milliseconds from one poll of an endpoint to its next.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..))]
    interval: u64,
    /// Where the metrics are, in Prometheus's format under /metrics; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    metrics: SocketAddr,
    /// Bytes that this process lets itself lock (`RLIMIT_MEMLOCK`), and that the vault has.
    #[arg(long, default_value_t = 16 * 1024)]
    limit: usize,
}

impl How {
    fn interval(&self) -> Duration {
        Duration::from_millis(self.interval)
    }
}

fn main() -> ExitCode {
    let done = match Options::parse().job {
        Job::Poll { list, how } => run::poll(&list, &how),
        Job::Demo { endpoints, seconds, picture, how } => {
            demo::run(endpoints, Duration::from_secs(seconds), &picture, &how)
        }
        Job::Serve { endpoints, listen } => host::allow_files()
            .and_then(|()| host::runtime())
            .and_then(|runtime| runtime.block_on(server::run(listen, endpoints as usize))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
