//! Two plots, as SVG that reads on a light page and on a dark one.

use std::fmt::Write as _;

use crate::{figures::Figures, policy::Contender, study::Row};

/// Who is shown: lines of all would be a tangle.
const SHOWN: [(Contender, &str); 7] = [
    (Contender::LeastRequest, "#8a8f98"),
    (Contender::CacheAware, "#d9822b"),
    (Contender::LMetric, "#9b6bdf"),
    (Contender::LlmDTokenAware, "#2f9e6e"),
    (Contender::EstimatedTtft, "#e0527a"),
    (Contender::Picker, "#3b82f6"),
    (Contender::PickerTtft, "#0e9bb3"),
];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
/// Around the plot: left and bottom for axes, right for names.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;

/// Mean time to first token over the load.
pub(crate) fn ttft(rows: &[Row<'_>]) -> String {
    lines("Mean time to first token by load, s", rows, |figures| figures.ttft_mean, None)
}

/// Hits over the load, with the bound.
pub(crate) fn hits(rows: &[Row<'_>]) -> String {
    let bound = |row: &Row<'_>| row.pooled;
    lines("Prompt tokens found in a cache, share of all", rows, |figures| figures.hit, Some(&bound))
}

type Bound<'a> = &'a dyn Fn(&Row<'_>) -> f64;

fn lines(
    title: &str,
    rows: &[Row<'_>],
    of: impl Fn(&Figures) -> f64,
    bound: Option<Bound<'_>>,
) -> String {
    let rows: Vec<&Row<'_>> = rows.iter().filter(|row| row.is_plotted()).collect();
    let of_one = |row: &Row<'_>, wanted: Contender| {
        row.cells.iter().find(|cell| cell.contender == wanted).map(|cell| of(&cell.figures))
    };
    let shown = |row: &&Row<'_>| SHOWN.map(|(contender, _)| of_one(row, contender).unwrap_or(0.0));
    let highest =
        rows.iter().flat_map(shown).chain(rows.iter().filter_map(|row| Some(bound?(row))));
    let scale = Scale::of(rows.len(), highest.fold(0.0, f64::max));
    let mut svg = begin(title);
    scale.draw(&mut svg, &rows);
    let mut names = Vec::new();
    for (contender, colour) in SHOWN {
        let values = rows.iter().filter_map(|row| of_one(row, contender));
        names.push(scale.line(&mut svg, values.collect(), colour, contender.name()));
    }
    if let Some(bound) = bound {
        let values = rows.iter().map(|row| bound(row)).collect();
        names.push(scale.line(
            &mut svg,
            values,
            "#8a8f98\" stroke-dasharray=\"5 4",
            "one cache as large as all",
        ));
    }
    label(&mut svg, names);
    svg + "</svg>\n"
}

fn begin(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\">\n<style>text {{ fill: #444c56 }} .axis {{ stroke: #8a8f98; stroke-width: 1 }} .grid {{ stroke: #8a8f98; \
         stroke-opacity: .25 }}\n@media (prefers-color-scheme: dark) {{ text {{ fill: #c9d1d9 }} }}</style>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{title}</text>\n"
    )
}

/// From values to places.
struct Scale {
    columns: usize,
    top: f64,
    step: f64,
}

/// A line's end, where its name goes.
struct Name {
    y: f64,
    colour: String,
    text: String,
}

impl Scale {
    fn of(columns: usize, highest: f64) -> Self {
        let magnitude = 10_f64.powf(highest.max(1e-9).log10().floor());
        let steps = [0.2, 0.25, 0.5, 1.0, 2.0].map(|step| step * magnitude);
        let fits = |step: &f64| highest / step <= 6.0;
        let step = steps.into_iter().find(fits).unwrap_or(magnitude);
        Self { columns, top: (highest / step).ceil() * step, step }
    }

    fn x(&self, column: usize) -> f64 {
        let gaps = self.columns.saturating_sub(1).max(1) as f64;
        LEFT + 20.0 + column as f64 / gaps * (WIDTH - LEFT - RIGHT - 40.0)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)
    }

    fn draw(&self, svg: &mut String, rows: &[&Row<'_>]) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut value = 0.0;
        while value <= self.top * 1.001 {
            let y = self.y(value);
            let class = if value > 0.0 { "grid" } else { "axis" };
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{value:.2}</text>",
                LEFT - 8.0,
                y + 4.0
            );
            value += self.step;
        }
        for (column, row) in rows.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.x(column),
                bottom + 20.0,
                row.short_name()
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">speed of the conversation trace</text>",
            f64::midpoint(LEFT, right),
            bottom + 42.0
        );
    }

    fn line(&self, svg: &mut String, values: Vec<f64>, colour: &str, name: &str) -> Name {
        let point =
            |(column, value): (usize, &f64)| format!("{:.1},{:.1}", self.x(column), self.y(*value));
        let points: Vec<String> = values.iter().enumerate().map(point).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"{colour}\" points=\"{}\"/>",
            points.join(" ")
        );
        let y = values.last().map_or(0.0, |last| self.y(*last));
        let colour = colour.split('"').next().unwrap_or_default().to_owned();
        Name { y, colour, text: name.to_owned() }
    }
}

/// Writes the names at the ends of their lines, none over another.
fn label(svg: &mut String, mut names: Vec<Name>) {
    names.sort_by(|a, b| b.y.total_cmp(&a.y));
    let mut lowest_free = HEIGHT - BOTTOM + 4.0;
    for name in names {
        let y = name.y.min(lowest_free);
        lowest_free = y - 15.0;
        let x = WIDTH - RIGHT;
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 4.0,
            name.colour,
            x + 14.0,
            y + 4.0,
            name.text
        );
    }
}
