//! One chart: lines with marks, and a legend beside them.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

/// What is drawn.
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

pub(crate) struct Axis {
    pub(crate) label: &'static str,
    /// The base of a logarithmic axis; 0 for a linear one. The x axis is logarithmic.
    pub(crate) base: f64,
    /// How a value is written.
    pub(crate) text: fn(f64) -> String,
}

pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) is_ours: bool,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, Y>>;
type Failure = Box<dyn Error>;

impl Chart {
    pub(crate) fn draw(&self, path: &Path) -> Result<(), Failure> {
        let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(self.title, text(19))?;
        let (plot, legend) = root.split_horizontally(WIDTH - LEGEND);
        let x = self.range(|point| point.0).log_scale().base(self.x.base);
        let y = self.range(|point| point.1);
        let mut builder = ChartBuilder::on(&plot);
        builder.margin(12).x_label_area_size(48).y_label_area_size(68);
        // The two kinds of axis are of different types.
        if self.y.base > 0.0 {
            self.lines(builder.build_cartesian_2d(x, y.log_scale().base(self.y.base))?)?;
        } else {
            self.lines(builder.build_cartesian_2d(x, 0.0..y.end)?)?;
        }
        self.legend(&legend)?;
        root.present()?;
        Ok(())
    }

    fn lines<Y>(&self, mut chart: Plot<'_, '_, Y>) -> Result<(), Failure>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        chart
            .configure_mesh()
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .x_label_formatter(&|value| (self.x.text)(*value))
            .y_label_formatter(&|value| (self.y.text)(*value))
            .label_style(text(14))
            .axis_desc_style(text(15))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        // Ours last, so that it lies on top.
        let numbered = || self.series.iter().enumerate();
        for (number, series) in
            numbered().filter(|(_, s)| !s.is_ours).chain(numbered().filter(|(_, s)| s.is_ours))
        {
            let style = self.style(number);
            chart.draw_series(LineSeries::new(series.points.iter().copied(), style))?;
            let points = series.points.iter().copied();
            // Marks tell series apart without their colours.
            match number % 3 {
                0 => chart.draw_series(points.map(|at| Circle::new(at, 4, style.filled())))?,
                1 => chart
                    .draw_series(points.map(|at| TriangleMarker::new(at, 6, style.filled())))?,
                _ => chart.draw_series(points.map(|at| Cross::new(at, 4, style)))?,
            };
        }
        Ok(())
    }

    fn legend(&self, area: &Area<'_>) -> Result<(), Failure> {
        for (number, series) in self.series.iter().enumerate() {
            let y = 24 + 26 * i32::try_from(number)?;
            let style = self.style(number);
            area.draw(&PathElement::new([(4, y), (34, y)], style))?;
            match number % 3 {
                0 => area.draw(&Circle::new((19, y), 4, style.filled()))?,
                1 => area.draw(&TriangleMarker::new((19, y), 6, style.filled()))?,
                _ => area.draw(&Cross::new((19, y), 4, style))?,
            }
            area.draw(&Text::new(series.name.as_str(), (42, y - 7), text(14)))?;
        }
        Ok(())
    }

    fn style(&self, number: usize) -> ShapeStyle {
        let is_ours = self.series[number].is_ours;
        let before = self.series[..number].iter().filter(|other| other.is_ours == is_ours).count();
        let palette = if is_ours { &OURS[..] } else { &OTHERS[..] };
        let (red, green, blue) = palette[before % palette.len()];
        let width = if is_ours { 3 } else { 1 };
        RGBColor(red, green, blue).stroke_width(width)
    }

    fn range(&self, of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
        let values = || self.series.iter().flat_map(|series| &series.points).map(&of);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        low * 0.9..high * 1.1
    }
}

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

const WIDTH: u32 = 960;
const HEIGHT: u32 = 520;
const LEGEND: u32 = 270;

/// Colours that those who see red and green alike can tell apart (Okabe and Ito, 2008), and greys.
const OURS: [(u8, u8, u8); 2] = [(0, 114, 178), (86, 180, 233)];
const OTHERS: [(u8, u8, u8); 9] = [
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (120, 94, 240),
    (150, 120, 20),
    (0, 0, 0),
    (90, 90, 90),
    (150, 150, 150),
];
