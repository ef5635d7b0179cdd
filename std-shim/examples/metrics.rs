//! Serves a vault's numbers in Prometheus's text format.
//!
//! ```sh
//! cargo run --example metrics
//! curl http://127.0.0.1:9646/metrics
//! ```
//!
//! The first argument is another address to listen on; with `--once` it answers one request and
//! ends.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use strongroom::{Metrics, Vault};

fn main() -> Result<(), Box<dyn Error>> {
    let mut address = "127.0.0.1:9646".to_owned();
    let mut once = false;
    for argument in env::args().skip(1) {
        if argument == "--once" { once = true } else { address = argument }
    }

    let vault = Vault::builder().budget(8 * 1024..=64 * 1024).build()?;
    let sealed = vault.seal(b"hunter2", b"example")?;
    let _opened = vault.try_open(&sealed, b"example")?;

    let listener = TcpListener::bind(address)?;
    println!("http://{}/metrics", listener.local_addr()?);
    for stream in listener.incoming() {
        // A client that goes away is its own business.
        if let Err(error) = stream.and_then(|stream| answer(stream, &vault)) {
            eprintln!("a request was not answered: {error}");
        }
        if once {
            break;
        }
    }
    Ok(())
}

/// Answers any request at all, so it reads no more than a request's first piece.
fn answer(mut stream: TcpStream, vault: &Vault) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    _ = stream.read(&mut [0; 4096])?;
    let body = exposition(&vault.metrics());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The numbers as Prometheus reads them
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
fn exposition(metrics: &Metrics) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, value: &dyn std::fmt::Display, help: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP strongroom_{name} {help}");
        let _ = writeln!(text, "# TYPE strongroom_{name} {kind}");
        let _ = writeln!(text, "strongroom_{name} {value}");
    };
    let m = metrics;
    metric("budget_bytes", "gauge", &m.budget, "The most that the vault locks.");
    metric("locked_bytes", "gauge", &m.locked, "What it has locked now.");
    if let Some(unlocked) = m.unlocked {
        metric(
            "unlocked_bytes",
            "gauge",
            &unlocked,
            "What the kernel says is not locked: an alarm.",
        );
    }
    metric("used_bytes", "gauge", &m.used, "What lies in runs and blocks with a secret.");
    metric("open_secrets", "gauge", &m.live, "Secrets that are open now.");
    metric("open_secrets_peak", "gauge", &m.peak, "The most that were open at once.");
    metric("waiters", "gauge", &m.waiters, "Callers that are waiting for room.");
    metric("waits_total", "counter", &m.waits, "Calls that waited for room.");
    let longest = m.longest_wait.as_secs_f64();
    metric("longest_wait_seconds", "gauge", &longest, "The longest of those waits.");
    metric("refusals_total", "counter", &m.refusals, "Calls that were told there is no room.");
    metric("faults_total", "counter", &m.faults, "Damage found.");
    metric("rooms", "gauge", &m.rooms, "Stretches of locked memory.");
    metric("rooms_added_total", "counter", &m.grown, "Stretches that were added under load.");
    metric("rooms_given_back_total", "counter", &m.given_back, "Stretches that were given back.");
    let refused = "Times the system would not lock more.";
    metric("growth_refusals_total", "counter", &m.growth_refusals, refused);
    text
}
