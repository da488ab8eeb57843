//! The tables of our figures against the best peer's.

use super::{Cell, Part, Row};
use crate::{figures::Figures, policy::Contender};

/// Goals: at most this share of the best peer's TTFT, ...
const TTFT: f64 = 0.97;
/// ... at least this share of the requests that random choice serves, less what chance moves, ...
const RATE: f64 = 0.995;
/// ... and at least this share of the pooled bound's hits.
const HIT: f64 = 0.95;

/// Returns our figures against the best peer's, load by load.
pub(super) fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> Part {
    let mut cells = Vec::new();
    for row in rows {
        for ours in row.cells.iter().filter(|cell| cell.contender.is_ours()) {
            let mean = best(row, |figures| figures.ttft_mean);
            let p90 = best(row, |figures| figures.ttft_p90);
            let random = row.cells.iter().find(|cell| cell.contender == Contender::Random);
            cells.push(vec![
                row.name.clone(),
                ours.contender.name().to_owned(),
                ratio(ours.figures.ttft_mean, mean, |figures| figures.ttft_mean),
                ratio(ours.figures.ttft_p90, p90, |figures| figures.ttft_p90),
                rate(ours, random),
                rate(ours, best(row, |figures| -figures.rate)),
                // Nothing to be found is no goal missed.
                match row.bound {
                    Some(bound) if bound.pooled > 0.0 => {
                        let hit = ours.figures.hit / bound.pooled;
                        mark(format!("{:.0} %", hit * 100.0), hit >= HIT)
                    }
                    _ => "-".to_owned(),
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
            "requests/s, × random (goal 1.00)",
            "requests/s, × best peer",
            "hit, of the pooled bound (goal 95 %)",
        ],
        rows: cells,
    }
}

/// Returns the faults, a row each.
pub(super) fn faults(rows: &[Row]) -> Part {
    let mut columns = vec!["fault"];
    columns.extend(
        rows.first().iter().flat_map(|row| row.cells.iter().map(|cell| cell.contender.name())),
    );
    let times =
        |cell: &Cell| format!("{:.3} / {:.2}", cell.figures.ttft_mean, cell.figures.ttft_p99);
    let row = |row: &Row| {
        let name = format!("{}: {}", row.name, row.what);
        [name].into_iter().chain(row.cells.iter().map(times)).collect()
    };
    Part::Table { columns, rows: rows.iter().map(row).collect() }
}

/// Returns the peer with the least of a figure.
fn best(row: &Row, of: impl Fn(&Figures) -> f64) -> Option<&Cell> {
    let peers = row.cells.iter().filter(|cell| !cell.contender.is_ours());
    peers.min_by(|a, b| of(&a.figures).total_cmp(&of(&b.figures)))
}

fn ratio(ours: f64, best: Option<&Cell>, of: impl Fn(&Figures) -> f64) -> String {
    let Some(best) = best else { return "-".to_owned() };
    let ratio = ours / of(&best.figures);
    mark(format!("{ratio:.3} ({})", best.contender.name()), ratio <= TTFT)
}

/// Returns our requests per second as a share of another's.
fn rate(ours: &Cell, other: Option<&Cell>) -> String {
    let Some(other) = other else { return "-".to_owned() };
    let ratio = ours.figures.rate / other.figures.rate;
    mark(format!("{ratio:.2}"), ratio >= RATE)
}

fn mark(text: String, reached: bool) -> String {
    if reached { format!("**{text}**") } else { text }
}

impl Contender {
    fn is_ours(self) -> bool {
        matches!(self, Self::Picker | Self::PickerByHeaders | Self::PickerTtft)
    }
}
