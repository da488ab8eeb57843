//! `build.sh bench adaptive`: saturation detectors beside each other, in the worker that ships, over
//! simulated engines that are driven far beyond what they hold.
//!
//! In reading order: the scenarios (`scenario`), their requests (`draw`), an Envoy with queues
//! (`gateway`), the run in which these meet (`world`), its figures (`figures`), and the table.

mod draw;
mod figures;
mod gate;
mod gateway;
mod scenario;
mod world;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::study::Part;
use figures::{GateFigures, Goal};
use gate::Gate;
use scenario::GateScenario;

/// The caller's wishes.
#[derive(Debug)]
pub struct GateOptions {
    /// True to run a tenth of each scenario's time, to see that the bench works.
    pub quick: bool,
    /// Names of the scenarios. Empty for all.
    pub scenarios: Vec<String>,
    /// Number of runs of each, each with chance of its own; figures are over all of them.
    pub seeds: u64,
}

/// A scenario with what all gates made of it.
struct GateRow {
    scenario: GateScenario,
    goal: Goal,
    gates: Vec<(Gate, GateFigures)>,
}

/// Runs everything. Returns the report and the raw figures.
#[must_use]
pub fn compare(options: &GateOptions) -> (Vec<Part>, Value) {
    let wanted = |it: &GateScenario| {
        options.scenarios.is_empty() || options.scenarios.iter().any(|name| it.name == name)
    };
    let scenarios: Vec<GateScenario> = scenario::all()
        .into_iter()
        .filter(wanted)
        .map(|it| if options.quick { it.shorter() } else { it })
        .collect();
    let rows = all_rows(&scenarios, options.seeds);
    let parts = vec![Part::Text(ABOUT.to_owned()), table(&rows), Part::Text(summary(&rows))];
    (parts, Value::Array(rows.iter().map(raw).collect()))
}

const ABOUT: &str = "Load 0.9, 1.5, 0.3, 2.0 and 0.6 times what the pods end, a fifth of it interactive. Cells: work done while the load is \
    beyond the capacity, as a share of what is done without a gate / p95 of the interactive time to the first token from its arrival, ms. \
    Goal: 1.2 times the idle pool's p95 and 100 ms. Waiting: requests in a pod's own queue, mean and p99 over time.";

/// Runs all scenarios with all gates, on all cores; the order of the results does not depend on that.
fn all_rows(scenarios: &[GateScenario], seeds: u64) -> Vec<GateRow> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(index) else { return found };
            found.push((index, row(scenario, seeds)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut found: Vec<(usize, GateRow)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, row)| row).collect()
}

fn row(scenario: &GateScenario, seeds: u64) -> GateRow {
    let capacity = world::capacity(scenario);
    let goal = Goal::above_idle(&world::idle(scenario, capacity));
    let gates = Gate::ALL.map(|gate| {
        let runs = (1..=seeds).map(|seed| world::run(scenario, gate, capacity, seed));
        (gate, GateFigures::of(runs))
    });
    GateRow { scenario: scenario.clone(), goal, gates: gates.to_vec() }
}

impl GateRow {
    fn of(&self, gate: Gate) -> GateFigures {
        let found = self.gates.iter().find(|(other, _)| *other == gate);
        found.map(|(_, figures)| figures.clone()).unwrap_or_default()
    }

    /// Returns the work of a gate as a share of what is done without one.
    fn throughput(&self, gate: Gate) -> f64 {
        self.of(gate).work / self.of(Gate::None).work
    }

    fn is_met(&self, gate: Gate) -> bool {
        self.throughput(gate) >= 0.98 && self.of(gate).p95 <= self.goal.0
    }
}

fn table(rows: &[GateRow]) -> Part {
    let cell = |row: &GateRow, gate: Gate| {
        let GateFigures { p95, p99, .. } = row.of(gate);
        let met = if row.is_met(gate) { " met" } else { "" };
        format!("{:.3} / {p95:.0} / {p99:.0}{met}", row.throughput(gate))
    };
    let waits =
        |figures: &GateFigures| format!("{:.1} / {}", figures.waiting_mean, figures.waiting_p99);
    let line = |row: &GateRow| {
        let [none, thresholds, adaptive, _] = Gate::ALL.map(|gate| row.of(gate));
        vec![
            format!("{} ({:.0})", row.scenario.name, row.goal.0),
            format!("{:.0}", none.p95),
            cell(row, Gate::Thresholds),
            cell(row, Gate::Adaptive),
            cell(row, Gate::AdaptiveByTtft),
            waits(&thresholds),
            waits(&adaptive),
            format!("{} / {} / {}", none.preempted, thresholds.preempted, adaptive.preempted),
            format!("{}", adaptive.over),
        ]
    };
    Part::Table {
        columns: vec![
            "scenario (goal)",
            "no gate, p95",
            "thresholds 5 / 0.8: work / p95 / p99",
            "adaptive-detector: work / p95 / p99",
            "with ttft 150 ms: work / p95 / p99",
            "waiting, thresholds",
            "waiting, adaptive",
            "preempted: none / thresholds / adaptive",
            "most over the batch",
        ],
        rows: rows.iter().map(line).collect(),
    }
}

fn summary(rows: &[GateRow]) -> String {
    let met = |gate| rows.iter().filter(|row| row.is_met(gate)).count();
    let least = |gate| rows.iter().map(|row| row.throughput(gate)).fold(f64::INFINITY, f64::min);
    format!(
        "Both goals (work 0.98, p95) are met in {} of {} by the adaptive detector and in {} by the thresholds. The least work is {:.3} \
         and {:.3}.",
        met(Gate::Adaptive),
        rows.len(),
        met(Gate::Thresholds),
        least(Gate::Adaptive),
        least(Gate::Thresholds),
    )
}

fn raw(row: &GateRow) -> Value {
    let gate = |(gate, figures): &(Gate, GateFigures)| {
        json!({
            "gate": gate.name(), "work": row.throughput(*gate), "p50_ms": figures.p50, "p95_ms": figures.p95,
            "p99_ms": figures.p99, "waiting_mean": figures.waiting_mean, "waiting_p99": figures.waiting_p99,
            "preempted": figures.preempted, "over": figures.over, "ended": figures.ended,
        })
    };
    json!({
        "scenario": row.scenario.name, "goal_ms": row.goal.0,
        "gates": row.gates.iter().map(gate).collect::<Vec<_>>(),
    })
}
