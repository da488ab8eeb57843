//! The comparison: loads, faults, and the tables of them.

mod gateways;
mod overview;
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
    /// Parts of names: loads that have none of them are left out. Empty for all loads.
    pub loads: Vec<String>,
    /// Names of the policies that take part. Empty for all policies.
    pub policies: Vec<String>,
    /// Number of replays of each load, each with chance of its own; figures are their means.
    pub seeds: u64,
}

impl Options {
    fn wants(&self, load: &str) -> bool {
        self.loads.is_empty() || self.loads.iter().any(|part| load.contains(part.as_str()))
    }

    fn takes(&self, contender: Contender) -> bool {
        self.policies.is_empty() || self.policies.iter().any(|name| contender.name() == name)
    }
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
#[derive(Clone, Debug)]
struct Cell {
    contender: Contender,
    /// Figures of each replay.
    runs: Vec<Figures>,
    /// Mean of the replays.
    figures: Figures,
}

/// A scenario with all contenders that took part.
#[derive(Debug)]
struct Row {
    name: String,
    what: String,
    /// Hits of one cache as large as all, and of one without end, 0 to 1; of clients that wait, the order
    /// is another at every gateway, so that there is no such figure.
    bound: Option<Bound>,
    cells: Vec<Cell>,
}

/// The most that routing can find in caches.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// Hits of one cache as large as all pods', as a share of all prompt tokens.
    pooled: f64,
    /// Hits of a cache without end.
    infinite: f64,
}

/// Contenders of the faults: those that are near each other without a fault, and the plainest.
const OF_FAULTS: [Contender; 7] = [
    Contender::Random,
    Contender::LeastRequest,
    Contender::LlmDTokenAware,
    Contender::Dynamo,
    Contender::LMetric,
    Contender::Picker,
    Contender::PickerTtft,
];

/// Replays everything. Returns the report and the raw figures.
///
/// # Errors
/// If a trace cannot be read or a plot not be written.
pub fn run(options: &Options) -> Result<(Vec<Part>, Value)> {
    let contenders: Vec<_> = Contender::ALL.into_iter().filter(|it| options.takes(*it)).collect();
    let of_faults: Vec<_> = OF_FAULTS.into_iter().filter(|it| options.takes(*it)).collect();
    let of_gateways: Vec<_> =
        [Contender::PickerTtft].into_iter().filter(|it| options.takes(*it)).collect();
    let mut rows: [Vec<Row>; 4] = Default::default();
    // Run by run: the chains of all traces of all runs would take gigabytes.
    for run in 0..options.seeds {
        let kinds = scenario::all(options, run)?;
        let takes = [&contenders, &contenders, &of_faults, &of_gateways];
        for ((of_kind, scenarios), contenders) in rows.iter_mut().zip(&kinds).zip(takes) {
            add_run(of_kind, replay_all(scenarios, contenders));
        }
    }
    let [loads, loops, faults, several] = &rows;
    draw(options, loads)?;
    let mut parts = vec![Part::Text(ABOUT.to_owned()), Part::Text(OVERVIEW.to_owned())];
    parts.push(overview::table(loads.iter().chain(loops)));
    for row in loads {
        parts.push(Part::Text(title(row)));
        parts.push(table(row));
    }
    parts.push(Part::Text(LOOPS.to_owned()));
    for row in loops {
        parts.push(Part::Text(title(row)));
        parts.push(table(row));
    }
    parts.push(Part::Text(TARGETS.to_owned()));
    parts.push(targets::table(loads.iter().chain(loops)));
    parts.push(Part::Text(FAULTS.to_owned()));
    parts.push(targets::faults(faults));
    parts.push(Part::Text(SEVERAL.to_owned()));
    parts.push(gateways::table(several));
    let raw = json!({
        "loads": raw(loads), "loops": raw(loops), "faults": raw(faults), "gateways": raw(several),
    });
    Ok((parts, raw))
}

/// Draws the plots of the conversation by its speed, if all of it was replayed.
fn draw(options: &Options, loads: &[Row]) -> Result<()> {
    if !options.loads.is_empty() || !options.policies.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&options.results)
        .with_context(|| format!("cannot make {}", options.results.display()))?;
    for (name, plot) in [("ttft", plots::ttft(loads)), ("hits", plots::hits(loads))] {
        let file = options.results.join(format!("replay-{name}.svg"));
        fs::write(&file, plot.svg()?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Adds the figures of one more run to the rows of those before, scenario by scenario.
fn add_run(rows: &mut Vec<Row>, run: Vec<Row>) {
    if rows.is_empty() {
        *rows = run;
        return;
    }
    for (row, more) in rows.iter_mut().zip(run) {
        for (cell, more) in row.cells.iter_mut().zip(more.cells) {
            cell.runs.extend(more.runs);
            cell.figures = Figures::mean(&cell.runs);
        }
    }
}

const ABOUT: &str = "8 simulated pods as large and fast as vLLM with Qwen3-32B on two H100 (a step takes 12 ms, \
    0.12 ms for each decoding request and a second for each 20,480 prompt tokens; 500,000 tokens of KV cache). Peers are their \
    published formulas at their defaults, not their products. Well served: the first token within 2 s, and 2 s more for each 20,480 \
    prompt tokens; further tokens every 60 ms. Imbalance: prompt tokens computed by the busiest pod over the mean.";
const OVERVIEW: &str =
    "Requests per second, then mean and p90 of the time to the first token in seconds:";
const LOOPS: &str = "Closed loops, in which each client waits for its answer, and bursts. Unless said, 4 pods of the simulator's default: \
    vLLM 0.32 with a small model on two CPU cores, 16 requests at once.";
const TARGETS: &str = "Against the best peer of each load, each figure by the peer that is best in it. Requests per second say something \
    where clients wait for answers, or pods fall behind:";
const FAULTS: &str = "What goes wrong, at conversation x2. TTFT mean / p99 in seconds:";
const SEVERAL: &str = "Several gateways over the same pods: apart they know nothing of each other, as one they exchange sums, placements \
    and shares through the scraper every 50 ms, and are told in turn. TTFT mean in multiples of one gateway's:";

fn title(row: &Row) -> String {
    let Row { name, what, .. } = row;
    let bound = row.bound.map_or_else(String::new, |Bound { pooled, infinite }| {
        format!(
            " One cache as large as all pods' would hit {pooled:.3}, one without end {infinite:.3}."
        )
    });
    format!("{name}: {what}.{bound}")
}

fn table(row: &Row) -> Part {
    let cells = |cell: &Cell| {
        let Figures { rate, hit, ttft_mean, ttft_p90, ttft_p99, tpot_p90, imbalance, goodput } =
            cell.figures;
        vec![
            cell.contender.name().to_owned(),
            format!("{rate:.1}"),
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
            "requests/s",
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
fn replay_all(scenarios: &[Scenario], contenders: &[Contender]) -> Vec<Row> {
    let jobs: Vec<(&Scenario, Contender)> = scenarios
        .iter()
        .flat_map(|scenario| contenders.iter().map(move |contender| (scenario, *contender)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((scenario, contender)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let figures = scenario.replay(*contender);
            let cell = Cell { contender: *contender, runs: vec![figures], figures };
            found.push((scenario.name.clone(), cell));
        }
        found
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut found: Vec<(String, Cell)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    found.sort_by_key(|(_, cell)| cell.contender);
    let cells = |scenario: &Scenario| {
        let of_it = found.iter().filter(|(name, _)| *name == scenario.name);
        of_it.map(|(_, cell)| cell.clone()).collect()
    };
    let row = |scenario: &Scenario| Row {
        name: scenario.name.clone(),
        what: scenario.what.clone(),
        bound: (!scenario.is_closed()).then(|| Bound {
            pooled: bound::hit(&scenario.trace, scenario.blocks()),
            infinite: bound::hit(&scenario.trace, usize::MAX),
        }),
        cells: cells(scenario),
    };
    scenarios.iter().map(row).collect()
}

fn raw(rows: &[Row]) -> Value {
    let cell = |cell: &Cell| {
        let Figures { rate, hit, ttft_mean, ttft_p90, ttft_p99, tpot_p90, imbalance, goodput } =
            cell.figures;
        json!({
            "policy": cell.contender.name(), "requests_per_s": rate, "hit": hit, "ttft_mean_s": ttft_mean,
            "ttft_p90_s": ttft_p90, "ttft_p99_s": ttft_p99, "tpot_p90_s": tpot_p90, "imbalance": imbalance,
            "well_served": goodput, "ttft_mean_s_by_run": cell.runs.iter().map(|it| it.ttft_mean).collect::<Vec<_>>(),
        })
    };
    let row = |row: &Row| {
        json!({
            "scenario": row.name, "pooled_lru_hit": row.bound.map(|it| it.pooled),
            "infinite_hit": row.bound.map(|it| it.infinite),
            "policies": row.cells.iter().map(cell).collect::<Vec<_>>(),
        })
    };
    rows.iter().map(row).collect()
}
