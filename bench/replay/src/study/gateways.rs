//! The table of several gateways beside one.

use super::{Part, Row, scenario::GATEWAYS};

/// Returns a row for each load: the time to the first token behind one gateway, and of several, apart and
/// as one, in multiples of it; hits likewise.
pub(super) fn table(rows: &[Row]) -> Part {
    let mut columns = vec!["load", "one gateway: TTFT mean, s", "hit"];
    columns.extend(["2 apart", "2 as one", "hit", "4 apart", "4 as one", "hit"]);
    columns.extend(["8 apart", "8 as one", "hit"]);
    let found = |name: &str| {
        let row = rows.iter().find(|row| row.name == name)?;
        row.cells.first().map(|cell| cell.figures)
    };
    let loads = rows.iter().filter_map(|row| row.name.strip_suffix(", one gateway"));
    let line = |load: &str| {
        let one = found(&format!("{load}, one gateway"))?;
        let mut line = vec![
            load.trim_start_matches("gateways, ").to_owned(),
            format!("{:.3}", one.ttft_mean),
            format!("{:.3}", one.hit),
        ];
        for count in GATEWAYS {
            let ttft = |kind| found(&format!("{load}, {count} {kind}"));
            let times = |figures: Option<crate::figures::Figures>| {
                figures
                    .map_or_else(String::new, |it| format!("{:.3} x", it.ttft_mean / one.ttft_mean))
            };
            let as_one = ttft("as one");
            line.extend([times(ttft("apart")), times(as_one)]);
            line.push(as_one.map_or_else(String::new, |it| format!("{:.3}", it.hit)));
        }
        Some(line)
    };
    Part::Table { columns, rows: loads.filter_map(line).collect() }
}
