//! The tables of our figures against the best peer's.

use super::{Cell, Part, Row};
use crate::{figures::Figures, policy::Contender};

/// Goals: at most this share of the best peer's TTFT, ...
const TTFT: f64 = 0.97;
/// ... and at least this share of the pooled bound's hits.
const HIT: f64 = 0.95;

/// Returns our figures against the best peer's, load by load.
pub(super) fn table(rows: &[Row<'_>]) -> Part {
    let mut cells = Vec::new();
    for row in rows {
        for ours in row.cells.iter().filter(|cell| cell.contender.is_ours()) {
            let mean = best(row, |figures| figures.ttft_mean);
            let p90 = best(row, |figures| figures.ttft_p90);
            let hit = ours.figures.hit / row.pooled;
            cells.push(vec![
                row.scenario.name.clone(),
                ours.contender.name().to_owned(),
                ratio(ours.figures.ttft_mean, mean, |figures| figures.ttft_mean),
                ratio(ours.figures.ttft_p90, p90, |figures| figures.ttft_p90),
                // Nothing to be found is no goal missed.
                if row.pooled > 0.0 {
                    mark(format!("{:.0} %", hit * 100.0), hit >= HIT)
                } else {
                    "-".to_owned()
                },
            ]);
        }
    }
    Part::Table {
        columns: vec![
            "load",
            "policy",
            "TTFT mean, × best peer (goal 0.97)",
            "p90, × best peer (goal 0.97)",
            "hit, of the pooled bound (goal 95 %)",
        ],
        rows: cells,
    }
}

/// Returns the faults, a row each.
pub(super) fn faults(rows: &[Row<'_>]) -> Part {
    let mut columns = vec!["fault"];
    columns.extend(
        rows.first().iter().flat_map(|row| row.cells.iter().map(|cell| cell.contender.name())),
    );
    let times =
        |cell: &Cell| format!("{:.3} / {:.2}", cell.figures.ttft_mean, cell.figures.ttft_p99);
    let row = |row: &Row<'_>| {
        let name = format!("{}: {}", row.scenario.name, row.scenario.what);
        [name].into_iter().chain(row.cells.iter().map(times)).collect()
    };
    Part::Table { columns, rows: rows.iter().map(row).collect() }
}

/// Returns the peer with the least of a figure.
fn best<'a>(row: &'a Row<'_>, of: impl Fn(&Figures) -> f64) -> Option<&'a Cell> {
    let peers = row.cells.iter().filter(|cell| !cell.contender.is_ours());
    peers.min_by(|a, b| of(&a.figures).total_cmp(&of(&b.figures)))
}

fn ratio(ours: f64, best: Option<&Cell>, of: impl Fn(&Figures) -> f64) -> String {
    let Some(best) = best else { return "-".to_owned() };
    let ratio = ours / of(&best.figures);
    mark(format!("{ratio:.3} ({})", best.contender.name()), ratio <= TTFT)
}

fn mark(text: String, reached: bool) -> String {
    if reached { format!("**{text}**") } else { text }
}

impl Contender {
    fn is_ours(self) -> bool {
        matches!(self, Self::Picker | Self::PickerTtft | Self::EstimatedTtft)
    }
}
