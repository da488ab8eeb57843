//! All loads in one table.

use super::{Cell, Part, Row};

/// Returns the figures of all contenders, a row for each load.
pub(super) fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> Part {
    let mut columns = vec!["load"];
    let mut cells = Vec::new();
    for row in rows {
        if columns.len() == 1 {
            columns.extend(row.cells.iter().map(|cell| cell.contender.name()));
        }
        cells.push([row.name.clone()].into_iter().chain(row.cells.iter().map(figures)).collect());
    }
    Part::Table { columns, rows: cells }
}

fn figures(cell: &Cell) -> String {
    let figures = cell.figures;
    format!("{:.1}, {:.3}, {:.2}", figures.rate, figures.ttft_mean, figures.ttft_p90)
}
