//! The results as curves.

use std::error::Error;
use std::path::{Path, PathBuf};

use super::tables::distinct;
use crate::measure::density::SMALL;
use crate::measure::{sealing, team};
use crate::peers;
use crate::report::chart::{Axis, Chart, Series};
use crate::results::Results;
use crate::units::thousands;

/// Draws every curve that there are figures for, and says where.
pub(crate) fn draw(results: &Results, folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let charts = [
        ("density.svg", density(results)),
        ("live.svg", live(results)),
        ("threads.svg", by_threads(results)),
        ("sealing.svg", sealed(results)),
    ];
    let mut written = Vec::new();
    for (name, chart) in charts {
        if chart.series.iter().any(|series| !series.points.is_empty()) {
            let path = folder.join(name);
            chart.draw(&path)?;
            written.push(path);
        }
    }
    Ok(written)
}

fn density(results: &Results) -> Chart {
    let mut series = Vec::new();
    for peer in distinct(results.density.iter().map(|found| found.peer)) {
        let found = results.density.iter();
        let found = found.filter(|found| found.peer == peer && found.region == SMALL);
        let points = found.map(|found| (found.size as f64, 100.0 * found.payload())).collect();
        series.push(one(peer, points));
    }
    for peer in distinct(results.page_each.iter().map(|found| found.peer)) {
        let found = results.page_each.iter().filter(|found| found.peer == peer);
        let share = |size: usize, locked: f64| (size as f64, 100.0 * size as f64 / locked);
        series.push(one(peer, found.map(|found| share(found.size, found.locked)).collect()));
    }
    Chart {
        title: "Payload in 64 KiB of locked memory when the next secret is refused",
        x: Axis { label: "bytes of each secret", base: 2.0, text: count },
        y: Axis { label: "payload, % of the locked bytes", base: 0.0, text: count },
        series,
    }
}

fn live(results: &Results) -> Chart {
    let peers = distinct(results.speed.iter().map(|found| found.peer));
    let series = peers.into_iter().map(|peer| {
        let found = results.speed.iter().filter(|found| found.peer == peer);
        let found = found.filter(|found| found.scenario.starts_with("64 B"));
        let points = found.map(|found| (found.live as f64, found.paired.ratio.median));
        one(peer, points.collect())
    });
    Chart {
        title: "Release, allocate and write 64 bytes",
        x: Axis { label: "live secrets", base: 10.0, text: count },
        y: Axis { label: "time, in times of glibc's", base: 10.0, text: ratio },
        series: series.collect(),
    }
}

fn by_threads(results: &Results) -> Chart {
    let peers = distinct(results.threads.iter().map(|found| found.peer));
    let peers = peers.into_iter().filter(|&peer| peer != team::CONTROL);
    let series = peers.map(|peer| {
        let found = results.threads.iter().filter(|found| found.peer == peer);
        one(peer, found.map(|found| (found.count as f64, found.against_floor.median)).collect())
    });
    Chart {
        title: "Work done by threads on one shared store",
        x: Axis { label: "threads", base: 2.0, text: count },
        y: Axis { label: "operations, in times of one glibc thread's", base: 10.0, text: ratio },
        series: series.collect(),
    }
}

fn sealed(results: &Results) -> Chart {
    let found = || results.sealing.iter().filter(|found| found.floor == sealing::RING);
    let kinds = distinct(found().map(|found| (found.peer, found.operation)));
    let series = kinds.into_iter().map(|(peer, operation)| {
        let found = found().filter(|found| (found.peer, found.operation) == (peer, operation));
        let points = found.map(|found| (found.size as f64, found.paired.ratio.median)).collect();
        Series { name: format!("{peer}, {operation}"), points, is_ours: peer == sealing::ENCLAVE }
    });
    Chart {
        title: "Seal and open",
        x: Axis { label: "bytes of the secret", base: 2.0, text: count },
        y: Axis { label: "time, in times of ring's", base: 0.0, text: ratio },
        series: series.collect(),
    }
}

fn one(peer: &str, points: Vec<(f64, f64)>) -> Series {
    let is_ours = [peers::STRONGROOM, peers::BUFFERS].contains(&peer);
    Series { name: peer.to_owned(), points, is_ours }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
fn count(value: f64) -> String {
    thousands(value.round() as usize)
}

fn ratio(value: f64) -> String {
    if value >= 10.0 {
        count(value)
    } else {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}
