//! The plots of the study: which contenders they show, and which of their figures.

use plotters::style::RGBColor;

use super::Row;
use crate::{
    figures::Figures,
    plot::{Line, Plot, Stroke},
    policy::Contender,
};

/// Contenders that are shown; lines of all would be a tangle.
const SHOWN: [(Contender, RGBColor); 6] = [
    (Contender::LeastRequest, GREY),
    (Contender::CacheAware, RGBColor(0xd9, 0x82, 0x2b)),
    (Contender::LMetric, RGBColor(0x9b, 0x6b, 0xdf)),
    (Contender::LlmDTokenAware, RGBColor(0x2f, 0x9e, 0x6e)),
    (Contender::Picker, RGBColor(0x3b, 0x82, 0xf6)),
    (Contender::PickerTtft, RGBColor(0x0e, 0x9b, 0xb3)),
];
const GREY: RGBColor = RGBColor(0x8a, 0x8f, 0x98);

/// Returns the mean time to first token over the load.
pub(super) fn ttft(rows: &[Row]) -> Plot {
    plot("Mean time to first token by load, s", &plotted(rows), |figures| figures.ttft_mean)
}

/// Returns the hits over the load, with their bound.
pub(super) fn hits(rows: &[Row]) -> Plot {
    let rows = plotted(rows);
    let mut plot =
        plot("Prompt tokens found in a cache, share of all", &rows, |figures| figures.hit);
    plot.lines.push(Line {
        name: "one cache as large as all",
        colour: GREY,
        stroke: Stroke::Dashed,
        values: rows.iter().map(|row| row.bound.map_or(0.0, |bound| bound.pooled)).collect(),
    });
    plot
}

/// Returns the rows that are points of the plots: the conversation as recorded.
fn plotted(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.name.starts_with(CONVERSATION)).collect()
}

/// Beginning of the names of these rows; the speed follows.
const CONVERSATION: &str = "conversation x";

fn plot(title: &'static str, rows: &[&Row], value: impl Fn(&Figures) -> f64) -> Plot {
    let line = |(contender, colour): (Contender, RGBColor)| {
        let of_it = |row: &&Row| {
            let cell = row.cells.iter().find(|cell| cell.contender == contender)?;
            Some(value(&cell.figures))
        };
        let values = rows.iter().filter_map(of_it);
        Line { name: contender.name(), colour, stroke: Stroke::Solid, values: values.collect() }
    };
    let speed = |row: &&Row| row.name.replacen("conversation ", "", 1);
    Plot {
        title,
        x_label: "speed of the conversation trace",
        columns: rows.iter().map(speed).collect(),
        lines: SHOWN.into_iter().map(line).collect(),
    }
}
