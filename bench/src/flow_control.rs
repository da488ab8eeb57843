//! Two classes of clients that ask for more than the pods can do: the requests served of each, and
//! the time that they took.

mod class;
mod gate;
mod row;
mod worker;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use stack::Stack;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use self::{
    class::Class,
    gate::Gate,
    worker::{Served, Worker},
};
use crate::{
    Setting,
    report::{Report, Table},
};

/// Number of streaming workers, half of each class.
const WORKERS: usize = 120;

/// Least time between two requests of a worker. All of them together then ask for about 1.7 times
/// what the pods can do, the high class alone for 0.85 of it: so there is something left that the
/// low class can get.
const CYCLE: Duration = Duration::from_millis(4400);

/// Arguments of a pod: few seats, so that waiting is decided at the gate, and time as a real one
/// takes.
const POD: [&str; 4] = ["--profile", "cpu", "--max-num-seqs", "8"];

const PODS: usize = 3;

/// Time after the end for requests that began before it; those that are not answered by then have
/// failed.
const GRACE: Duration = Duration::from_secs(60);

/// Figures that the EPP's project published, as it published them.
const PUBLISHED: &str = "Published for the EPP, on another machine (4x L4, OpenShift; 120 workers, 240 s) and not run here: TTFT mean 4.83 s \
     (high) against 15.42 s (low), success 100 % against 85 %.";

/// Measures, and returns the report.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let seconds = if setting.quick { 5 } else { setting.seconds };
    let mut report = Report::begin("flow-control");
    report.say(format!(
        "{WORKERS} streaming workers, half with priority 100, half with 10, each beginning a request at most every {} ms, \
         for {seconds} s; {PODS} vllm-sim pods with 8 seats each; Envoy with 2 workers; 64 output tokens. Times in \
         seconds, from the request to its first token (TTFT) or its last (E2E), of those that succeeded.",
        CYCLE.as_millis()
    ));
    let mut table = Table::new(&[
        "gate",
        "class",
        "success",
        "requests",
        "TTFT mean",
        "p95",
        "p99",
        "E2E mean",
        "served/s",
    ]);
    let mut raw = Vec::new();
    for gate in Gate::ALL {
        let served = load(setting, gate, Duration::from_secs(seconds)).await?;
        for class in Class::ALL {
            let of_class: Vec<&Served> = served.iter().filter(|one| one.class == class).collect();
            table.row(&row::cells(gate.name(), class, &of_class, seconds));
        }
        raw.push(json!({"gate": gate.name(), "requests": served.iter().map(Served::raw).collect::<Vec<Value>>()}));
    }
    report.show(table);
    report.say(PUBLISHED);
    report.raw(Value::from(raw));
    Ok(report)
}

/// Runs the load on a stack of its own with this gate.
async fn load(setting: &Setting, gate: Gate, duration: Duration) -> Result<Vec<Served>> {
    let stack = Stack::builder(setting.programs.clone())
        .endpoints(PODS)
        .pod_args(&POD)
        .workers(2)
        .plugin(gate.plugin())
        .start()
        .await?;
    let end = Instant::now() + duration;
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let class = if number % 2 == 0 { Class::High } else { Class::Low };
        let worker = Arc::new(Worker { gateway: stack.gateway, class, number });
        workers.spawn(work(worker, end));
    }
    let mut served = Vec::new();
    while let Some(of_worker) = workers.join_next().await {
        served.extend(of_worker?);
    }
    Ok(served)
}

/// Makes one worker's requests until `end`.
async fn work(worker: Arc<Worker>, end: Instant) -> Vec<Served> {
    let mut served = Vec::new();
    // Workers that all begin at once would stay in step for long.
    let mut begin = Instant::now() + CYCLE.mul_f64(fastrand::f64());
    while begin < end {
        sleep_until(begin).await;
        let last = end + GRACE;
        let request = worker.request(served.len());
        let one = timeout(last.saturating_duration_since(Instant::now()), request).await;
        served.push(one.unwrap_or_else(|_| Served::unanswered(worker.class)));
        begin = (begin + CYCLE).max(Instant::now());
    }
    served
}
