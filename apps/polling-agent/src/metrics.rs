//! Numbers in Prometheus's text format, over HTTP.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use strongroom::Vault;
use tokio::net::TcpListener;

/// What the agent counts.
#[derive(Clone)]
pub(crate) struct Numbers {
    pub(crate) succeeded: Counter,
    pub(crate) failed: Counter,
    pub(crate) missed: Counter,
    pub(crate) refused: Counter,
    pub(crate) rotated: Counter,
    pub(crate) scrapes: Counter,
    pub(crate) seconds: Histogram,
    locked: Gauge,
    open: Gauge,
    open_peak: Gauge,
    waits: Counter,
    registry: Arc<Registry>,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("polling_agent");
        let mut counter = |name, help| {
            let counter: Counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let succeeded = counter("polls_succeeded", "Polls that were answered with status 200");
        let failed = counter("polls_failed", "Polls that were answered otherwise, or not at all");
        let missed = counter("intervals_missed", "Intervals that went by without a finished poll");
        let refused =
            counter("passwords_refused", "Polls that were asked again, with a newer password");
        let rotated = counter("passwords_rotated", "Passwords that were replaced");
        let scrapes = counter("scrapes", "Answers with these numbers");
        let waits = counter("vault_waits", "Calls that waited for room in locked memory");
        let seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        let help = "From the moment a poll was due to the end of its answer";
        registry.register_with_unit("poll", help, Unit::Seconds, seconds.clone());
        let mut gauge = |name, help| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let locked = gauge("vault_locked_bytes", "Memory that is locked");
        let open = gauge("vault_open_secrets", "Secrets that are open");
        let open_peak = gauge("vault_open_secrets_peak", "The most that were open at once");
        let registry = Arc::new(registry);
        Self {
            succeeded,
            failed,
            missed,
            refused,
            rotated,
            scrapes,
            seconds,
            locked,
            open,
            open_peak,
            waits,
            registry,
        }
    }

    /// All of it as text, with the vault's numbers of this moment.
    fn text(&self, vault: &Vault) -> Result<String, fmt::Error> {
        let metrics = vault.metrics();
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.locked.set(number(metrics.locked));
        self.open.set(number(metrics.live));
        self.open_peak.set(number(metrics.peak));
        self.waits.inc_by((metrics.waits as u64).saturating_sub(self.waits.get()));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Answers `GET /metrics` for ever.
pub(crate) async fn serve(listener: TcpListener, numbers: Numbers, vault: Arc<Vault>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, most likely: they become fewer.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let (numbers, vault) = (numbers.clone(), Arc::clone(&vault));
        let service = service_fn(move |request| {
            let answer = answer(&request, &numbers, &vault);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        // A scraper that goes away is its own business.
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
    }
}

fn answer<B>(request: &Request<B>, numbers: &Numbers, vault: &Vault) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if (request.method(), request.uri().path()) != (&Method::GET, "/metrics") {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    numbers.scrapes.inc();
    match numbers.text(vault) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let kind = header::HeaderValue::from_static(kind);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            *response.body_mut() = Full::from(text);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}
