//! A soak over the real Envoy with the faults mixed: stopped, killed, restarted, reconfigured, its clock stepped, its clients
//! gone. Every request must be answered exactly once and in time, no limit passed, and nothing left behind.

mod client;
mod faults;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stack::{Clock, Stack};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    client::{Attempt, Ending, Head, SoakClient},
    faults::{PLACES, Record, TTL},
};
use crate::{
    Setting, memory,
    report::{Report, Table},
};

/// Length of a full soak.
const LENGTH: Duration = Duration::from_mins(20);

/// Length of a quick one, in which most kinds of fault come once.
const QUICK: Duration = Duration::from_mins(2);

/// Envoy's worker threads, and so the commits that one round can hold.
const WORKERS: usize = 4;

const PODS: usize = 3;

/// Clients without pause: three times the places, so that most of them are held.
const CLIENTS: usize = 54;

/// Arguments of a pod, as fast as keeps the engines a small part of the load.
const POD: [&str; 4] = ["--max-num-seqs", "64", "--speed", "4"];

/// Time beyond the time to live within which a held request must be answered.
const LATE_MAX: Duration = Duration::from_secs(1);

/// Time until an idle gateway must have counted all that ended.
const QUIET: Duration = Duration::from_secs(6);

/// Time around a request in which a fault may have to do with it.
const NEAR: Duration = Duration::from_secs(40);

/// Time between two looks at what runs.
const LOOK: Duration = Duration::from_millis(20);

/// All that a soak saw.
#[derive(Debug)]
struct Findings {
    seed: u64,
    length: Duration,
    served: Vec<Attempt>,
    record: Record,
    /// Requests that Envoy had at its pods at once, at most.
    running: u64,
    /// Requests that the picker still counts once all is quiet.
    left: Left,
    envoy_megabytes: u64,
}

/// The counts of an idle gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    in_flight: u64,
    held: u64,
    running: u64,
}

/// Soaks, and returns the report. Fails where anything was wrong, once the report was printed.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let length = if setting.quick { QUICK } else { LENGTH };
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let clock = Clock::build(&std::env::temp_dir().join("llm-picker-soak"))?;
    let mut stack = start(setting, &clock).await?;
    let end = Instant::now() + length;
    let most = tokio::spawn(most_running(stack.admin, end));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let objective = if number % 3 == 0 { "interactive" } else { "batch" };
        let (gateway, admin) = (stack.gateway, stack.admin);
        let client = SoakClient { gateway, admin, objective, number };
        clients.spawn(client.ask(end, random.u64(..)));
    }
    let record = faults::make(&mut stack, &clock, end, &mut random).await?;
    let mut served = Vec::new();
    while let Some(of_client) = clients.join_next().await {
        served.extend(of_client?);
    }
    let running = most.await??;
    sleep(QUIET).await;
    let (envoy, _) = stack.pids();
    let envoy_megabytes = memory::megabytes(envoy)?;
    let left = left(&stack).await?;
    let found = Findings { seed, length, served, record, running, left, envoy_megabytes };
    let report = found.report();
    if let Err(wrong) = found.ensure() {
        println!("{}", report.markdown());
        return Err(wrong);
    }
    Ok(report)
}

async fn start(setting: &Setting, clock: &Clock) -> Result<Stack> {
    let mut builder = Stack::builder(setting.programs.clone())
        .endpoints(PODS)
        .pod_args(&POD)
        .workers(WORKERS)
        .plugin(faults::plugin(PLACES[0]))
        .reloadable();
    for (name, value) in clock.env() {
        builder = builder.envoy_env(name, value);
    }
    builder.start().await
}

/// Returns the most requests that Envoy had at its pods at once until `end`, by its own count.
async fn most_running(admin: SocketAddr, end: Instant) -> Result<u64> {
    let mut most = 0;
    while Instant::now() < end {
        most = most.max(running(admin).await?);
        sleep(LOOK).await;
    }
    Ok(most)
}

async fn running(admin: SocketAddr) -> Result<u64> {
    let path = "/stats?filter=^cluster.models.upstream_rq_active$";
    // A frozen Envoy answers once it goes on.
    let stats = stack::get(admin, path).await?.body;
    let count = stats.trim().rsplit(' ').next().and_then(|count| count.parse().ok());
    count.with_context(|| format!("Envoy does not count what runs: {stats}"))
}

/// Returns the counts of the picker, as the scraper's status has them, and of Envoy.
async fn left(stack: &Stack) -> Result<Left> {
    let status = stack.status.context("the scraper is gone")?;
    let status: Value = serde_json::from_str(&stack::get(status, "/api/v1/status").await?.body)?;
    let count = |name: &str| {
        let count = status.pointer(&format!("/gateways/0/{name}")).and_then(Value::as_u64);
        count.with_context(|| format!("the status has no {name}: {status}"))
    };
    let running = running(stack.admin).await?;
    Ok(Left { in_flight: count("inFlight")?, held: count("held")?, running })
}

impl Findings {
    fn report(&self) -> Report {
        let mut report = Report::begin("soak");
        report.say(format!(
            "{CLIENTS} clients without pause for {} s at an Envoy with {WORKERS} workers and {PODS} pods, a limit of {} or {} \
             requests a pod by turns, held for at most {} s; a fault every few seconds. Seed {:#x}.",
            self.length.as_secs(),
            PLACES[0],
            PLACES[1],
            TTL.as_secs(),
            self.seed
        ));
        let mut faults: BTreeMap<String, usize> = BTreeMap::new();
        for (_, fault) in &self.record.faults {
            *faults.entry(fault.name()).or_default() += 1;
        }
        let mut table = Table::new(&["fault", "times"]);
        faults.iter().for_each(|(name, times)| table.row(&[name.clone(), times.to_string()]));
        report.show(table);
        let mut table = Table::new(&["found", "", "allowed"]);
        for (ending, count) in self.endings() {
            let allowed = if is_wrong(ending) { "0" } else { "" };
            table.row(&[format!("{ending:?}"), count.to_string(), allowed.to_owned()]);
        }
        let mut row = |name: &str, found: String, allowed: String| {
            table.row(&[name.to_owned(), found, allowed]);
        };
        row("most at the pods at once", self.running.to_string(), running_max().to_string());
        row("held too long", self.late().to_string(), "0".to_owned());
        let Left { in_flight, held, running } = self.left;
        row(
            "left in flight, held, at pods",
            format!("{in_flight}, {held}, {running}"),
            "0, 0, 0".to_owned(),
        );
        row("Envoy's memory, MB", self.envoy_megabytes.to_string(), String::new());
        report.show(table);
        self.silent().for_each(|told| report.say(told));
        report.raw(json!({"seed": self.seed, "running": self.running, "late": self.late()}));
        report
    }

    fn endings(&self) -> BTreeMap<Ending, usize> {
        let mut endings = BTreeMap::new();
        for served in &self.served {
            *endings.entry(served.ending).or_default() += 1;
        }
        endings
    }

    /// Tells of each request that was not answered: when it came, after which faults, and what Envoy said then.
    fn silent(&self) -> impl Iterator<Item = String> + '_ {
        let silent = self.served.iter().filter(|it| it.ending == Ending::Silent);
        silent.map(|it| {
            let faults = self.record.faults.iter().filter_map(|(at, fault)| {
                let before = it.sent.saturating_duration_since(*at);
                let after = at.saturating_duration_since(it.sent);
                let is_near = before < NEAR && after < NEAR;
                is_near.then(|| {
                    let seconds = before.as_secs_f64() - after.as_secs_f64();
                    format!("{} {seconds:.2} s before", fault.name())
                })
            });
            let faults: Vec<String> = faults.collect();
            let said = it.suspicion.as_deref().unwrap_or_default();
            format!("Unanswered: {said}. Faults: {}.", faults.join("; "))
        })
    }

    /// Returns the number of requests that were held too long.
    fn late(&self) -> usize {
        self.served.iter().filter(|served| self.is_late(served)).count()
    }

    /// True if a request was held too long. Neither the time at a pod counts, however slow it is, nor that in which Envoy
    /// was frozen.
    fn is_late(&self, served: &Attempt) -> bool {
        let Some(Head { at, by_pod, .. }) = served.head else { return false };
        let frozen = self.record.frozen.iter().map(|frozen| {
            frozen.to.min(at).saturating_duration_since(frozen.from.max(served.sent))
        });
        let waited = at.duration_since(served.sent).saturating_sub(frozen.sum());
        waited.saturating_sub(by_pod) > TTL + LATE_MAX
    }

    fn ensure(&self) -> Result<()> {
        let wrong: usize = self
            .endings()
            .iter()
            .filter(|(ending, _)| is_wrong(**ending))
            .map(|(_, count)| count)
            .sum();
        ensure!(wrong == 0, "{wrong} requests were not answered exactly once");
        ensure!(self.late() == 0, "{} requests were held too long", self.late());
        ensure!(self.running <= running_max(), "{} requests at the pods at once", self.running);
        ensure!(self.left == Left::default(), "counted when all was over: {:?}", self.left);
        Ok(())
    }
}

/// Returns the largest limit, with what the workers may send in one round of commits.
const fn running_max() -> u64 {
    (PLACES[1] * PODS + WORKERS) as u64
}

const fn is_wrong(ending: Ending) -> bool {
    match ending {
        Ending::Closed | Ending::Silent | Ending::Twice => true,
        // Full queues, pods that died, and 404 of a simulated pod that has no tokenizer; nothing else is an answer.
        Ending::Answered(status) => !matches!(status, 200 | 404 | 429 | 502 | 503 | 504),
        Ending::Broken | Ending::Left => false,
    }
}
