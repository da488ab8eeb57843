//! The price of the exchange between gateways: bytes on the wire and CPU, beside the same gateways that know nothing of each
//! other.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
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
    summary::Rounds,
    upstream::{self, Says},
};

/// Number of pods, as many as a large pool has.
const PODS: usize = 256;

/// Requests a second, of all gateways together.
const RATE: u32 = 512;

/// Number of clients, which share the rate: each has time for its answer before its next request is due.
const CLIENTS: u32 = 32;

/// Bytes of a request's body: some 10,000 tokens, whose placement has 68 hashes.
const BODY: usize = 40 << 10;

/// Numbers of gateways.
const GATEWAYS: [usize; 3] = [2, 4, 8];

/// Time until every pod was read and every client's connection is open.
const WARM_UP: Duration = Duration::from_secs(3);

/// Use of one gateway and its scraper, a second.
#[derive(Clone, Copy, Debug, Default)]
struct Price {
    /// Bytes from the scraper to the gateway.
    down: f64,
    /// Bytes from the gateway to the scraper.
    up: f64,
    /// CPU of the gateway, of a core.
    gateway: f64,
    /// CPU of all scrapers, of a core.
    scraper: f64,
}

/// Counts so far, summed over gateways.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    down: u64,
    up: u64,
    gateways: Duration,
    scrapers: Duration,
}

/// Measures, and returns the report.
pub(crate) async fn run(setting: &Setting) -> Result<Report> {
    let (length, rounds) = if setting.quick { (3, 1) } else { (10, 3) };
    let length = Duration::from_secs(length);
    let mut report = Report::begin("exchange");
    report.say(format!(
        "{PODS} busy pods, {RATE} requests a second of {} KB, each with a prompt of its own, over all gateways together; medians (lowest to highest) of {rounds} rounds of {} s. \
         Apart: each gateway has a scraper of its own. As one: one scraper feeds all, and they exchange what they know. Bytes are those of \
         the gateway's listener for snapshots, headers included.",
        BODY >> 10,
        length.as_secs()
    ));
    let mut table = Table::new(&[
        "gateways",
        "down, KB/s each",
        "up, KB/s each",
        "gateway, % of a core each",
        "all scrapers, % of a core",
    ]);
    let mut raw = Vec::new();
    for gateways in GATEWAYS {
        let mut found = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (is_one, prices) in [false, true].into_iter().zip(&mut found) {
                prices.push(measure(setting, gateways, is_one, length).await?);
            }
        }
        for (name, prices) in ["apart", "as one"].into_iter().zip(&found) {
            let of = |unit: f64, price: fn(&Price) -> f64| {
                Rounds::new(prices.iter().map(|it| price(it) / unit))
            };
            table.row(&[
                format!("{gateways} {name}"),
                format!("{:.0}", of(1e3, |it| it.down)),
                format!("{:.0}", of(1e3, |it| it.up)),
                format!("{:.1}", of(0.01, |it| it.gateway)),
                format!("{:.1}", of(0.01, |it| it.scraper)),
            ]);
            raw.extend(prices.iter().map(|price| raw_row(gateways, name, *price)));
        }
    }
    report.show(table);
    report.raw(Value::from(raw));
    Ok(report)
}

fn raw_row(gateways: usize, name: &str, price: Price) -> Value {
    let Price { down, up, gateway, scraper } = price;
    json!({
        "gateways": gateways, "exchange": name, "down_bytes_per_s": down, "up_bytes_per_s": up,
        "gateway_cores": gateway, "scraper_cores": scraper,
    })
}

/// Starts so many gateways, with one scraper or one each, asks them, and returns what that took.
async fn measure(
    setting: &Setting,
    gateways: usize,
    is_one: bool,
    length: Duration,
) -> Result<Price> {
    let pods = upstream::start_saying(PODS, Says::News)?;
    let builder = || Stack::builder(setting.programs.clone()).upstreams(pods.clone()).workers(1);
    let mut stacks = Vec::new();
    if is_one {
        stacks.push(builder().gateways(gateways).start().await?);
    } else {
        for _ in 0..gateways {
            stacks.push(builder().start().await?);
        }
    }
    let addresses: Vec<SocketAddr> = stacks.iter().flat_map(Stack::gateways).collect();
    let end = Instant::now() + WARM_UP + length;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let at = usize::try_from(client)? % addresses.len();
        let gateway = *addresses.get(at).context("there is no gateway")?;
        clients.spawn(spawn_blocking(move || ask(gateway, client, end)));
    }
    sleep(WARM_UP).await;
    let (before, began) = (counts(&stacks).await?, Instant::now());
    while let Some(of_client) = clients.join_next().await {
        of_client???;
    }
    let (after, seconds) = (counts(&stacks).await?, began.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let each = |after: u64, before: u64| (after - before) as f64 / seconds / addresses.len() as f64;
    let cores = |after: Duration, before| after.saturating_sub(before).as_secs_f64() / seconds;
    #[expect(clippy::cast_precision_loss, reason = "a few gateways")]
    let gateway = cores(after.gateways, before.gateways) / addresses.len() as f64;
    Ok(Price {
        down: each(after.down, before.down),
        up: each(after.up, before.up),
        gateway,
        scraper: cores(after.scrapers, before.scrapers),
    })
}

async fn counts(stacks: &[Stack]) -> Result<Counts> {
    let mut counts = Counts::default();
    for stack in stacks {
        counts.scrapers += cpu::time(stack.pids().1.context("the stack has no scraper")?)?;
        for (pid, admin) in stack.admins() {
            counts.gateways += cpu::time(pid)?;
            counts.down += bytes(admin, "rx").await?;
            counts.up += bytes(admin, "tx").await?;
        }
    }
    Ok(counts)
}

/// Returns the bytes that an Envoy's listener for snapshots has had from the scraper (`rx`) or sent to it (`tx`).
async fn bytes(admin: SocketAddr, direction: &str) -> Result<u64> {
    let name = format!("http.ingest.downstream_cx_{direction}_bytes_total");
    let stats = stack::get(admin, &format!("/stats?filter=^{name}$")).await?.body;
    let count = stats.trim().rsplit(' ').next().and_then(|count| count.parse().ok());
    count.with_context(|| format!("Envoy does not count {name}: {stats}"))
}

/// Makes one client's requests at their times.
fn ask(gateway: SocketAddr, client: u32, end: Instant) -> Result<()> {
    let period = Duration::from_secs(1) * CLIENTS / RATE;
    let mut connection = Connection::open(gateway)?;
    let mut request = Request::chat(BODY, Text::Escaped, usize::try_from(client)?);
    let mut due = Instant::now() + period * client / CLIENTS;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        connection.write(request.numbered(next_number()))?;
        connection.read_message()?;
        due += period;
    }
    Ok(())
}
