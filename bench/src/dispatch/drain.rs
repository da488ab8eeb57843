//! A queue of 5,000: the speed at which it empties, the time until a freed place is filled, and the
//! limit that must hold meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stack::Stack;
use tokio::{
    task::spawn_blocking,
    time::{interval, sleep},
};

use super::{config, crowd::Crowd};
use crate::{
    Setting, cpu,
    report::{Report, Table},
    summary::{Rounds, quantile},
    valve::{Log, Valve},
};

const PODS: usize = 4;
const WORKERS: usize = 4;

/// Number of requests that a pod takes.
const PLACES: usize = 32;

/// Number of requests that the pods take together.
const PLACES_MAX: usize = PODS * PLACES;

/// Number of requests that wait.
const WAITING: usize = 5000;

/// Number of answers let out one by one, with time between them for all that follows from one.
const ONE_BY_ONE: usize = 200;
const BETWEEN: Duration = Duration::from_millis(10);

/// Number of answers let out at this pace, as many as the probe behind the goal of 500 µs had hops
/// a second: draining is as fast as all cores can, so there a grant waits above all for its
/// worker's turn.
const PACED: usize = 5;
const PACE: Duration = Duration::from_millis(1);

/// Time by which a queue fills or empties, if it ever does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Number of rounds of a full bench.
const ROUNDS: usize = 3;

/// Figures of a round.
#[derive(Debug)]
struct Round {
    per_second: f64,
    cpu_micros: f64,
    /// Number of requests above the limit at the worst moment.
    above: usize,
    /// Time from an answer to the next request in its place, milliseconds: p50 and p99.
    alone: [f64; 2],
    under_load: [f64; 2],
    /// Time from a grant to the request's going on, by the filter's own clock, microseconds: p50
    /// and p99.
    grant: [f64; 2],
}

/// Measures, and adds to the report.
pub(super) async fn run(setting: &Setting, report: &mut Report) -> Result<Value> {
    let valve = Valve::start(PODS, Duration::ZERO)?;
    let mut rounds = Vec::new();
    for _ in 0..if setting.quick { 1 } else { ROUNDS } {
        rounds.push(round(setting, &valve).await?);
    }
    let mut paced = Vec::new();
    for _ in 0..rounds.len() {
        paced.push(paced_round(setting, &valve).await?);
    }
    let all = |figure: fn(&Round) -> f64| Rounds::new(rounds.iter().map(figure));
    let at_pace = |n: usize| Rounds::new(paced.iter().filter_map(|grant| grant.get(n).copied()));
    report.say(format!(
        "{WAITING} requests of 1 KB wait in an Envoy with {WORKERS} workers, behind a concurrency-detector of {PLACES} \
         places at each of {PODS} pods, which answer at once when a valve opens; {} rounds. The time in which a place is \
         filled again runs from the pod's answer to the next request at a pod: the answer's way through Envoy, the \
         ledger, the arbiter, the grant's way to the worker, the pick, the resume, and the way to the pod. \"One by one\" \
         frees a place every {} ms. Grant to resume is the filter's own histogram, llm_picker_grant_to_resume_seconds, \
         of all grants of a round, linear within its buckets. \"Paced\" are rounds of their own, in which {PACED} places are \
         freed every {} ms.",
        rounds.len(),
        BETWEEN.as_millis(),
        PACE.as_millis()
    ));
    let mut table = Table::new(&["a queue of 5,000", "found"]);
    let mut row = |name: &str, found: String| table.row(&[name.to_owned(), found]);
    row("dispatches per second", format!("{:.0}", all(|round| round.per_second)));
    row("Envoy's CPU per dispatch, µs", format!("{:.0}", all(|round| round.cpu_micros)));
    row("place filled again, one by one, p50 ms", format!("{:.2}", all(|round| round.alone[0])));
    row("place filled again, one by one, p99 ms", format!("{:.2}", all(|round| round.alone[1])));
    row("place filled again, draining, p50 ms", format!("{:.2}", all(|round| round.under_load[0])));
    row("place filled again, draining, p99 ms", format!("{:.2}", all(|round| round.under_load[1])));
    row("grant to resume, draining, p50 µs", format!("{:.0}", all(|round| round.grant[0])));
    row("grant to resume, draining, p99 µs", format!("{:.0}", all(|round| round.grant[1])));
    row("grant to resume, paced, p50 µs", format!("{:.0}", at_pace(0)));
    row("grant to resume, paced, p99 µs", format!("{:.0}", at_pace(1)));
    row("most in flight above the limit of 128", format!("{:.0}", all(|round| round.above as f64)));
    report.show(table);
    let drained: Vec<Value> = rounds.iter().map(Round::raw).collect();
    Ok(json!({"drained": drained, "paced_grant_to_resume_p50_p99_us": paced}))
}

/// Fills the queue of a new stack: the valve is closed again with it.
async fn full(setting: &Setting, valve: &Valve) -> Result<(Stack, Crowd)> {
    let stack = Stack::builder(setting.programs.clone())
        .upstreams(valve.pods.clone())
        .workers(WORKERS)
        .plugin(config::gate(PLACES, "round-robin-fairness-policy"))
        .start()
        .await?;
    valve.take_log();
    let crowd = Crowd::send(stack.gateway, PLACES_MAX + WAITING)?;
    filled(&stack, valve).await?;
    Ok((stack, crowd))
}

/// Lets the queue drain by [`PACED`] places every [`PACE`]. Returns the time from grant to resume,
/// p50 and p99.
async fn paced_round(setting: &Setting, valve: &Valve) -> Result<[f64; 2]> {
    let (stack, crowd) = full(setting, valve).await?;
    let mut every = interval(PACE);
    // No more than there are: the next round's would be let out.
    for first in (0..PLACES_MAX + WAITING).step_by(PACED) {
        every.tick().await;
        valve.release(PACED.min(PLACES_MAX + WAITING - first));
    }
    let answered = spawn_blocking(|| crowd.answered()).await??;
    ensure!(
        answered == PLACES_MAX + WAITING,
        "{answered} of {} were answered",
        PLACES_MAX + WAITING
    );
    grant_to_resume(&stack).await
}

/// Frees places one by one, and then all at once.
async fn round(setting: &Setting, valve: &Valve) -> Result<Round> {
    let (stack, crowd) = full(setting, valve).await?;
    for _ in 0..ONE_BY_ONE {
        valve.release(1);
        sleep(BETWEEN).await;
    }
    let (envoy, _) = stack.pids();
    let before = cpu::time(envoy)?;
    valve.release(PLACES_MAX + WAITING - ONE_BY_ONE);
    let answered = spawn_blocking(|| crowd.answered()).await??;
    let spent = cpu::time(envoy)?.saturating_sub(before);
    ensure!(
        answered == PLACES_MAX + WAITING,
        "{answered} of {} were answered",
        PLACES_MAX + WAITING
    );
    let grant = grant_to_resume(&stack).await?;
    Ok(Round::from_log(&valve.take_log(), spent, grant))
}

/// Returns p50 and p99 of the grants, in microseconds, once the scraper has the counts of all of them.
async fn grant_to_resume(stack: &Stack) -> Result<[f64; 2]> {
    let status = stack.status.context("there is no scraper")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = stack::get(status, "/metrics").await?.body;
        let buckets = buckets(&page);
        let all = buckets.last().map_or(0.0, |(_, all)| *all);
        // The first to arrive find places free, and need no grant.
        if all >= WAITING as f64 {
            return Ok([bucket_quantile(&buckets, 0.5), bucket_quantile(&buckets, 0.99)]);
        }
        ensure!(Instant::now() < deadline, "{all} of {WAITING} grants were measured");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Reads bounds in microseconds, each with the number of grants up to it.
fn buckets(page: &str) -> Vec<(f64, f64)> {
    let lines = page.lines().filter_map(|line| {
        let rest = line.strip_prefix("llm_picker_grant_to_resume_seconds_bucket{")?;
        let (_, bound) = rest.split_once("le=\"")?;
        let (bound, count) = bound.split_once("\"} ")?;
        Some((bound.parse::<f64>().ok()? * 1e6, count.parse().ok()?))
    });
    lines.collect()
}

/// Returns a quantile as Prometheus does: linear within its bucket.
fn bucket_quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let wanted = buckets.last().map_or(0.0, |(_, all)| all * share);
    let mut before = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted && bound.is_finite() {
            let (low, under) = before;
            return low + (bound - low) * (wanted - under) / (count - under).max(1.0);
        }
        before = (*bound, *count);
    }
    before.0
}

/// Waits until all places are taken and the rest waits.
async fn filled(stack: &Stack, valve: &Valve) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let wanted = format!("http.gateway.downstream_rq_active: {}", PLACES_MAX + WAITING);
    loop {
        let active = stack.stats("^http.gateway.downstream_rq_active$").await?;
        if active.trim() == wanted && valve.held() >= PLACES_MAX {
            // The last ones' tickets are on their way to the arbiter.
            sleep(Duration::from_millis(500)).await;
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the queue does not fill: {active}, {} held",
            valve.held()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

impl Round {
    fn from_log(log: &Log, spent: Duration, grant: [f64; 2]) -> Self {
        // The n-th answer frees the place that the n-th request behind the first PLACES_MAX takes.
        let mut filled: Vec<Duration> = log
            .went
            .iter()
            .zip(log.came.iter().skip(PLACES_MAX))
            .map(|(went, came)| came.saturating_duration_since(*went))
            .collect();
        let mut draining = filled.split_off(ONE_BY_ONE.min(filled.len()));
        let first = log.went.get(ONE_BY_ONE).copied();
        let took = first.zip(log.came.last()).map_or(Duration::ZERO, |(from, to)| *to - from);
        Self {
            per_second: draining.len() as f64 / took.as_secs_f64(),
            cpu_micros: spent.as_secs_f64() * 1e6 / draining.len() as f64,
            above: log.most.saturating_sub(PLACES_MAX),
            alone: [0.5, 0.99].map(|q| millis(quantile(&mut filled, q))),
            under_load: [0.5, 0.99].map(|q| millis(quantile(&mut draining, q))),
            grant,
        }
    }

    fn raw(&self) -> Value {
        json!({
            "dispatches_per_second": self.per_second,
            "cpu_us_per_dispatch": self.cpu_micros,
            "above_limit": self.above,
            "one_by_one_p50_p99_ms": self.alone,
            "draining_p50_p99_ms": self.under_load,
            "grant_to_resume_p50_p99_us": self.grant,
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let page = "llm_picker_grant_to_resume_seconds_bucket{pool=\"a\",le=\"0.0001\"} 10\n\
            llm_picker_grant_to_resume_seconds_bucket{pool=\"a\",le=\"0.0003\"} 20\n\
            llm_picker_grant_to_resume_seconds_bucket{pool=\"a\",le=\"+Inf\"} 20\n\
            llm_picker_grant_to_resume_seconds_count{pool=\"a\"} 20\n";
        let buckets = buckets(page);
        assert_eq!(buckets.len(), 3);
        assert!((bucket_quantile(&buckets, 0.75) - 200.0).abs() < 1e-6, "{buckets:?}");
        assert!(bucket_quantile(&[], 0.5).abs() < 1e-6);
    }
}
