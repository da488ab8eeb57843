//! The comparison: loads, faults, and the tables of them.

mod plots;
mod scenario;
mod targets;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{bound, figures::Figures, policy::Contender};
pub(crate) use scenario::Scenario;

/// The caller's wishes.
#[derive(Debug)]
pub struct Options {
    /// Published trace in place of the one that comes along.
    pub trace: Option<PathBuf>,
    /// True to replay the beginning of each trace only, to see that the bench works.
    pub quick: bool,
    /// Folder for the plots.
    pub results: PathBuf,
}

/// A piece of the report.
#[derive(Debug)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// A table.
    Table {
        /// Names of the columns.
        columns: Vec<&'static str>,
        /// Cells, row by row.
        rows: Vec<Vec<String>>,
    },
}

/// A contender in a scenario.
#[derive(Clone, Copy, Debug)]
struct Cell {
    contender: Contender,
    figures: Figures,
}

/// A scenario with all contenders that took part.
#[derive(Debug)]
struct Row<'a> {
    scenario: &'a Scenario,
    /// Hits of one cache as large as all, and of one without end, 0 to 1.
    pooled: f64,
    infinite: f64,
    cells: Vec<Cell>,
}

/// Replays everything. Returns the report and the raw figures.
///
/// # Errors
/// If a trace cannot be read or a plot not be written.
pub fn run(options: &Options) -> Result<(Vec<Part>, Value)> {
    let loads = scenario::loads(options)?;
    let faults = scenario::faults(options)?;
    let loads = replay_all(&loads, &Contender::ALL);
    let faults = replay_all(
        &faults,
        &[
            Contender::LeastRequest,
            Contender::LlmDTokenAware,
            Contender::EstimatedTtft,
            Contender::Picker,
            Contender::PickerTtft,
        ],
    );
    let mut parts = vec![Part::Text(ABOUT.to_owned())];
    for row in &loads {
        parts.push(Part::Text(title(row)));
        parts.push(table(row));
    }
    parts.push(Part::Text(TARGETS.to_owned()));
    parts.push(targets::table(&loads));
    parts.push(Part::Text(FAULTS.to_owned()));
    parts.push(targets::faults(&faults));
    fs::create_dir_all(&options.results)
        .with_context(|| format!("cannot make {}", options.results.display()))?;
    for (name, plot) in [("ttft", plots::ttft(&loads)), ("hits", plots::hits(&loads))] {
        let file = options.results.join(format!("replay-{name}.svg"));
        fs::write(&file, plot.svg()?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let raw = json!({"loads": raw(&loads), "faults": raw(&faults)});
    Ok((parts, raw))
}

const ABOUT: &str = "8 simulated pods as large and fast as vLLM with Qwen3-32B on two H100 (a step takes 12 ms, \
    0.12 ms for each decoding request and a second for each 20,480 prompt tokens; 500,000 tokens of KV cache). Peers are their \
    published formulas at their defaults, not their products. Well served: the first token within 2 s, and 2 s more for each 20,480 \
    prompt tokens; further tokens every 60 ms. Imbalance: prompt tokens computed by the busiest pod over the mean.";
const TARGETS: &str = "Against the best peer of each load (by its mean TTFT; for p90, by its p90):";
const FAULTS: &str = "What goes wrong, at conversation x2. TTFT mean / p99 in seconds:";

fn title(row: &Row<'_>) -> String {
    format!(
        "{}: {}. One cache as large as all pods' would hit {:.3}, one without end {:.3}.",
        row.scenario.name, row.scenario.what, row.pooled, row.infinite
    )
}

fn table(row: &Row<'_>) -> Part {
    let cells = |cell: &Cell| {
        let Figures { hit, ttft_mean, ttft_p90, ttft_p99, tpot_p90, imbalance, goodput } =
            cell.figures;
        vec![
            cell.contender.name().to_owned(),
            format!("{hit:.3}"),
            format!("{ttft_mean:.3}"),
            format!("{ttft_p90:.2}"),
            format!("{ttft_p99:.2}"),
            format!("{:.1}", tpot_p90 * 1e3),
            format!("{imbalance:.2}"),
            format!("{:.1} %", goodput * 100.0),
        ]
    };
    Part::Table {
        columns: vec![
            "policy",
            "hit",
            "TTFT mean, s",
            "p90",
            "p99",
            "TPOT p90, ms",
            "imbalance",
            "well served",
        ],
        rows: row.cells.iter().map(cells).collect(),
    }
}

/// Replays each scenario with each contender, on all cores; the order of the results does not
/// depend on that.
fn replay_all<'a>(scenarios: &'a [Scenario], contenders: &[Contender]) -> Vec<Row<'a>> {
    let jobs: Vec<(&Scenario, Contender)> = scenarios
        .iter()
        .flat_map(|scenario| contenders.iter().map(move |contender| (scenario, *contender)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((scenario, contender)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.push((
                scenario.name.clone(),
                Cell { contender: *contender, figures: scenario.replay(*contender) },
            ));
        }
        found
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut found: Vec<(String, Cell)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    found.sort_by_key(|(_, cell)| cell.contender);
    let row = |scenario: &'a Scenario| Row {
        scenario,
        pooled: bound::hit(&scenario.trace, scenario.blocks()),
        infinite: bound::hit(&scenario.trace, usize::MAX),
        cells: found
            .iter()
            .filter(|(name, _)| *name == scenario.name)
            .map(|(_, cell)| *cell)
            .collect(),
    };
    scenarios.iter().map(row).collect()
}

fn raw(rows: &[Row<'_>]) -> Value {
    let cell = |cell: &Cell| {
        let Figures { hit, ttft_mean, ttft_p90, ttft_p99, tpot_p90, imbalance, goodput } =
            cell.figures;
        json!({
            "policy": cell.contender.name(), "hit": hit, "ttft_mean_s": ttft_mean, "ttft_p90_s": ttft_p90,
            "ttft_p99_s": ttft_p99, "tpot_p90_s": tpot_p90, "imbalance": imbalance, "well_served": goodput,
        })
    };
    let row = |row: &Row<'_>| {
        json!({
            "scenario": row.scenario.name, "pooled_lru_hit": row.pooled, "infinite_hit": row.infinite,
            "policies": row.cells.iter().map(cell).collect::<Vec<_>>(),
        })
    };
    rows.iter().map(row).collect()
}
