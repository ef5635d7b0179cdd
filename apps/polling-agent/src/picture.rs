//! A run as a picture: how many polls there were in each second, and how long they took.

use std::path::Path;

use plotters::prelude::*;

use crate::Failure;
use crate::agent::Agent;
use crate::demo::Second;

pub(crate) fn draw(path: &Path, seconds: &[Second], agent: &Agent) -> Result<(), Failure> {
    let end = seconds.last().map_or(1.0, |second| second.at);
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let root = SVGBackend::new(path, (800, 500)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| text(&error))?;
    let title = format!(
        "{} endpoints, each every {:?}, on one core with {} bytes locked",
        agent.credentials.len(),
        agent.interval,
        agent.credentials.vault().metrics().locked
    );
    let root = root.titled(&title, ("sans-serif", 18)).map_err(|error| text(&error))?;
    let (above, below) = root.split_vertically(210);

    let most = seconds.iter().map(|second| second.polls.max(bounded(second.refused))).max();
    let most = most.unwrap_or(1) * 5 / 4 + 1;
    let mut chart = ChartBuilder::on(&above)
        .margin(8)
        .x_label_area_size(20)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0..most)
        .map_err(|error| text(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().y_desc("in each second").y_labels(5);
    mesh.draw().map_err(|error| text(&error))?;
    let rotating = seconds.iter().filter(|second| second.rotating);
    let band = rotating.map(|second| {
        Rectangle::new(
            [((second.at - 1.0).max(0.0), 0), (second.at, most)],
            YELLOW.mix(0.35).filled(),
        )
    });
    let band = chart.draw_series(band).map_err(|error| text(&error))?;
    band.label("passwords are replaced").legend(|(x, y)| line(x, y, YELLOW));
    let polls = LineSeries::new(seconds.iter().map(|second| (second.at, second.polls)), &BLUE);
    let polls = chart.draw_series(polls).map_err(|error| text(&error))?;
    polls.label("polls answered").legend(|(x, y)| line(x, y, BLUE));
    let refused = seconds.iter().map(|second| (second.at, bounded(second.refused)));
    let refused =
        chart.draw_series(LineSeries::new(refused, &RED)).map_err(|error| text(&error))?;
    refused.label("asked again with the new password").legend(|(x, y)| line(x, y, RED));
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::MiddleLeft).background_style(WHITE.mix(0.8));
    labels.draw().map_err(|error| text(&error))?;

    let millis = |second: &Second, which: usize| second.took[which].as_secs_f64() * 1e3;
    let longest = seconds.iter().map(|second| millis(second, 2)).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&below)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, (0.1..longest * 2.0).log_scale())
        .map_err(|error| text(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().x_desc("seconds").y_desc("milliseconds from due to answered");
    mesh.draw().map_err(|error| text(&error))?;
    for (which, name, color) in [(2, "longest", RED), (1, "99 of 100", BLACK), (0, "median", BLUE)]
    {
        let points = seconds.iter().map(|second| (second.at, millis(second, which).max(0.1)));
        let series =
            chart.draw_series(LineSeries::new(points, &color)).map_err(|error| text(&error))?;
        series.label(name).legend(move |(x, y)| line(x, y, color));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8));
    labels.draw().map_err(|error| text(&error))?;
    root.present().map_err(|error| text(&error))?;
    Ok(())
}

fn line(x: i32, y: i32, color: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(3))
}

fn bounded(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
