//! The age of a pod's numbers when they decide, in a real Envoy over a real scraper: what each
//! answer's decision header says of the pod that it came from.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use stack::Stack;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    Setting,
    body::{Request, Text},
    connection::Connection,
    cpu,
    load::next_number,
    report::{Report, Table},
    summary::quantile,
    upstream::{self, Says},
};

/// Number of pods, as many as a large pool has.
const PODS: usize = 256;

/// Number of clients, each with one request at a time.
const CLIENTS: usize = 8;

/// A client's pause: together the clients ask some 400 times a second, which leaves the cores to
/// the programs that are measured.
const PAUSE: Duration = Duration::from_millis(20);

/// Time until every pod was read and every client's connection is open.
const WARM_UP: Duration = Duration::from_secs(2);

/// Measures, and returns the report.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let duration = Duration::from_secs(if setting.quick { 3 } else { 15 });
    let mut report = Report::begin("age");
    report.say(format!(
        "{PODS} pods, each on a connection of its own; the scraper and Envoy (two workers) as they come. {CLIENTS} clients ask \
         every {} ms for {} s. Age: from the pod's answer to the decision that goes by it, as the decision's header says.",
        PAUSE.as_millis(),
        duration.as_secs()
    ));
    let columns =
        ["pods", "decisions", "age p50, ms", "p99", "p99.9", "max", "scraper, % of a core"];
    let mut table = Table::new(&columns);
    let mut raw = Vec::new();
    for (name, says) in [("busy, other numbers each time", Says::News), ("idle", Says::TheSame)] {
        let (mut ages, scraper) = measure(setting, says, duration).await?;
        let ms = |age: Duration| age.as_millis();
        let at = [0.5, 0.99, 0.999, 1.0].map(|q| ms(quantile(&mut ages, q)));
        let mut row = vec![name.to_owned(), ages.len().to_string()];
        row.extend(at.iter().map(ToString::to_string));
        row.push(format!("{scraper:.1}"));
        table.row(&row);
        let ages: Vec<Value> =
            ages.iter().map(|age| json!(u64::try_from(ms(*age)).unwrap_or(u64::MAX))).collect();
        raw.push(json!({"pods": name, "ages_ms": ages, "scraper_percent": scraper}));
    }
    report.show(table);
    report.raw(Value::from(raw));
    Ok(report)
}

/// Returns the ages at all decisions, and the CPU time that the scraper took meanwhile.
async fn measure(
    setting: &Setting,
    says: Says,
    duration: Duration,
) -> Result<(Vec<Duration>, f64)> {
    let pods = upstream::start_saying(PODS, says)?;
    let stack = Stack::builder(setting.programs.clone())
        .upstreams(pods)
        .workers(2)
        .plugin(json!({"decisionHeader": true, "failureMode": "FailClose"}))
        .start()
        .await?;
    sleep(WARM_UP).await;
    let scraper = stack.pids().1.context("the stack has no scraper")?;
    let before = cpu::time(scraper)?;
    let end = Instant::now() + duration;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let gateway = stack.gateway;
        clients.spawn(spawn_blocking(move || ask(gateway, client, end)));
    }
    let mut ages = Vec::new();
    while let Some(of_client) = clients.join_next().await {
        ages.extend(of_client???);
    }
    let spent = cpu::time(scraper)?.saturating_sub(before);
    Ok((ages, 100.0 * spent.as_secs_f64() / duration.as_secs_f64()))
}

/// Makes one client's requests, and returns the age at each decision.
fn ask(gateway: SocketAddr, client: usize, end: Instant) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(gateway)?;
    let mut request = Request::chat(1 << 10, Text::Escaped, client);
    let mut ages = Vec::new();
    while Instant::now() < end {
        connection.write(request.numbered(next_number()))?;
        ages.push(age(&connection.read_message()?)?);
        thread::sleep(PAUSE);
    }
    Ok(ages)
}

/// Returns the age that an answer's head tells.
fn age(head: &[u8]) -> Result<Duration> {
    let head = String::from_utf8_lossy(head);
    let (_, rest) = head
        .split_once(";snapshot-age-ms=")
        .ok_or_else(|| anyhow!("an answer without a decision: {head}"))?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    Ok(Duration::from_millis(digits.parse().context("the decision went by no numbers")?))
}
