//! Polls: one task for each endpoint, all on one thread.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{self, Instant, MissedTickBehavior};

use crate::http::Connection;
use crate::list::{Credentials, Endpoint};
use crate::metrics::Numbers;

/// What all polls share.
pub(crate) struct Agent {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) interval: Duration,
    pub(crate) numbers: Numbers,
    /// How long each poll took since somebody last looked, from the moment it was due.
    pub(crate) took: Mutex<Vec<Duration>>,
}

impl Agent {
    /// Polls an endpoint for ever, first after `delay`.
    pub(crate) async fn poll_for_ever(self: Arc<Self>, endpoint: Endpoint, delay: Duration) {
        let before = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic ",
            endpoint.path, endpoint.address
        );
        let mut connection = None;
        let mut ticks = time::interval_at(Instant::now() + delay, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut expected: Option<Instant> = None;
        loop {
            let due = ticks.tick().await;
            if let Some(expected) = expected
                && due > expected
            {
                // Whole intervals went by without a poll.
                let skipped = (due - expected).as_nanos().div_ceil(self.interval.as_nanos());
                self.numbers.missed.inc_by(u64::try_from(skipped).unwrap_or(u64::MAX));
            }
            expected = Some(due + self.interval);
            let poll = self.poll(&endpoint, before.as_bytes(), &mut connection, due);
            match time::timeout_at(due + self.interval, poll).await {
                Ok(Ok(200)) => self.numbers.succeeded.inc(),
                Ok(outcome) => {
                    self.numbers.failed.inc();
                    let why = match outcome {
                        Ok(status) => format!("status {status}"),
                        Err(error) => error.to_string(),
                    };
                    eprintln!("{}: {why}", endpoint.url);
                    connection = None;
                    continue;
                }
                Err(_) => {
                    self.numbers.missed.inc();
                    eprintln!("{}: no answer within the interval", endpoint.url);
                    connection = None;
                    continue;
                }
            };
            let took = due.elapsed();
            self.numbers.seconds.observe(took.as_secs_f64());
            self.took.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        }
    }

    /// One poll. A password that is refused may have been replaced a moment ago, there and not yet here:
    /// then it waits for the new one and asks again.
    async fn poll(
        &self,
        endpoint: &Endpoint,
        before: &[u8],
        connection: &mut Option<Connection>,
        due: Instant,
    ) -> io::Result<u16> {
        let mut refused = None;
        loop {
            if connection.as_ref().is_none_or(Connection::is_over) {
                *connection = Some(Connection::new(endpoint.address).await?);
            }
            let Some(open) = connection.as_mut() else { continue };
            open.writable().await?;
            let secret = self.credentials.open(&*endpoint.url).await.map_err(io::Error::other)?;
            let version = secret.version();
            open.write(before, secret, BEHIND).await?;
            let status = open.answer().await?;
            if status != 401 || refused == Some(version) {
                return Ok(status);
            }
            refused = Some(version);
            self.numbers.refused.inc();
            let patience = due + self.interval / 2;
            while self.credentials.version(&*endpoint.url) == Some(version) {
                if Instant::now() > patience {
                    return Ok(status);
                }
                time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

const BEHIND: &[u8] = b"\r\nUser-Agent: strongroom-polling-agent\r\n\r\n";
