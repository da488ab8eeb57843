//! Line plots as SVG, in colours that read on a light page and on a dark one.

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::{
        ChartBuilder, Circle, Color, DrawingArea, IntoDrawingArea, IntoFont, IntoSegmentedCoord,
        LineSeries, RGBColor, SVGBackend, SegmentValue, Text, TextStyle,
    },
    series::DashedLineSeries,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Size of a plot in pixels.
const WIDTH: u32 = 760;
const HEIGHT: u32 = 380;
/// Pixels around the lines: left and bottom for the axes, top for the title, right for the names.
const LEFT: u32 = 64;
const RIGHT: u32 = 200;
const TOP: u32 = 44;
const BOTTOM: u32 = 56;
/// Pixels below the label of the horizontal axis.
const EDGE: u32 = 8;
/// Pixels between the names of two lines.
const NAME_HEIGHT: i32 = 15;
/// Pixels of a dash, and of the gap after it.
const DASH: u32 = 5;
const GAP: u32 = 4;
/// Number of labels on the vertical axis: more would be a ladder.
const LABELS_MAX: u8 = 7;

/// Colour of text and axes, of much the same contrast with a white page and with a dark one.
const INK: RGBColor = RGBColor(0x73, 0x7a, 0x83);
const FONT: &str = "system-ui, sans-serif";
/// The SVG backend divides sizes by this.
const FONT_SCALE: f64 = 1.24;

/// Several lines over the same columns.
#[derive(Debug)]
pub(crate) struct Plot {
    /// Title, with the unit of the values.
    pub(crate) title: &'static str,
    /// Meaning of the columns.
    pub(crate) x_label: &'static str,
    /// Names of the columns, from left to right.
    pub(crate) columns: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

/// A line of a plot.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) colour: RGBColor,
    pub(crate) stroke: Stroke,
    /// Values by column.
    pub(crate) values: Vec<f64>,
}

/// Style of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
}

/// The name of a line, beside the line's end.
struct Name<'a> {
    line: &'a Line,
    /// Pixels from the upper edge.
    y: i32,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Plot {
    /// Draws the plot and returns the SVG.
    pub(crate) fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        self.draw(&area)?;
        area.present()?;
        // The area writes the closing tag when it is dropped.
        drop(area);
        Ok(svg)
    }

    fn draw(&self, area: &Area<'_>) -> Result<()> {
        area.draw(&Text::new(self.title, (pixels(LEFT), 14), text(15.0)))?;
        // The range of a segmented axis has its end in it.
        let last = self.columns.len().saturating_sub(1);
        let mut chart = ChartBuilder::on(area)
            .margin_top(TOP)
            .margin_right(RIGHT)
            .margin_bottom(EDGE)
            .x_label_area_size(BOTTOM - EDGE)
            .y_label_area_size(LEFT)
            .build_cartesian_2d((0..last).into_segmented(), 0.0..self.top())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(INK.mix(0.3))
            .light_line_style(INK.mix(0.0))
            .axis_style(INK)
            .label_style(text(12.0))
            .x_labels(self.columns.len())
            .y_labels(LABELS_MAX.into())
            .x_desc(self.x_label)
            .x_label_formatter(&|place| self.column_at(place))
            .y_label_formatter(&|value| format!("{value:.2}"))
            .draw()?;
        let mut names = Vec::new();
        for line in &self.lines {
            let points = line.values.iter().enumerate();
            let points = points.map(|(column, value)| (SegmentValue::CenterOf(column), *value));
            let style = line.colour.stroke_width(2);
            match line.stroke {
                Stroke::Solid => chart.draw_series(LineSeries::new(points, style))?,
                Stroke::Dashed => {
                    chart.draw_series(DashedLineSeries::new(points, DASH, GAP, style))?
                }
            };
            if let Some((column, value)) = line.values.iter().enumerate().next_back() {
                let end = (SegmentValue::CenterOf(column), *value);
                names.push(Name { line, y: chart.backend_coord(&end).1 });
            }
        }
        draw_names(area, names)
    }

    /// Returns the name of the column at a place of the horizontal axis.
    fn column_at(&self, place: &SegmentValue<usize>) -> String {
        match place {
            SegmentValue::Exact(column) | SegmentValue::CenterOf(column) => {
                self.columns.get(*column).cloned().unwrap_or_default()
            }
            SegmentValue::Last => String::new(),
        }
    }

    /// Returns the upper end of the vertical axis: the first round number above all values.
    fn top(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| &line.values).copied();
        let highest = values.fold(0.0, f64::max);
        let magnitude = 10_f64.powf(highest.max(1e-9).log10().floor());
        let step = [0.2, 0.25, 0.5, 1.0, 2.0].map(|step| step * magnitude);
        let step = step.into_iter().find(|step| highest / step < f64::from(LABELS_MAX));
        let step = step.unwrap_or(magnitude);
        (highest / step).ceil().max(1.0) * step
    }
}

/// Writes the names beside the ends of their lines, none over another.
fn draw_names(area: &Area<'_>, mut names: Vec<Name<'_>>) -> Result<()> {
    names.sort_by_key(|name| std::cmp::Reverse(name.y));
    let x = pixels(WIDTH - RIGHT);
    // From the lowest name up: whatever has no room goes above the one before it.
    let mut lowest_free = pixels(HEIGHT - BOTTOM) + 4;
    for name in names {
        let y = name.y.min(lowest_free);
        lowest_free = y - NAME_HEIGHT;
        area.draw(&Circle::new((x + 4, y), 4, name.line.colour.filled()))?;
        let style = text(12.0).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.line.name, (x + 14, y), style))?;
    }
    Ok(())
}

/// Returns the style of a text of `size` pixels.
fn text(size: f64) -> TextStyle<'static> {
    (FONT, size * FONT_SCALE).into_font().color(&INK)
}

fn pixels(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
