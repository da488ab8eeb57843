//! What an Envoy costs that nobody asks anything.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use stack::{Balancing, Builder, Stack};
use tokio::{task::spawn_blocking, time::sleep};

use super::config;
use crate::{
    Setting, cpu,
    load::{Kind, Load, Pace},
    report::{Report, Table},
    upstream,
};

const WORKERS: usize = 4;

/// Measures and reports.
pub(super) async fn run(setting: &Setting, report: &mut Report) -> Result<Value> {
    let pods = upstream::start(3)?;
    let duration = Duration::from_secs(if setting.quick { 3 } else { 20 });
    let stack =
        || Stack::builder(setting.programs.clone()).upstreams(pods.clone()).workers(WORKERS);
    let gate = config::gate(100, "round-robin-fairness-policy");
    let plain = cost(stack().without_filter(Balancing::RoundRobin), duration).await?;
    let picker = cost(stack().plugin(gate), duration).await?;
    let mut table = Table::new(&["idle, 4 workers", "Envoy, % of a core", "scraper, % of a core"]);
    table.row(&["plain Envoy".to_owned(), format!("{:.2}", plain.0), "-".to_owned()]);
    table.row(&[
        "picker with flow control, 20 snapshots a second".to_owned(),
        format!("{:.2}", picker.0),
        format!("{:.2}", picker.1),
    ]);
    report.show(table);
    Ok(json!({"plain_percent": plain.0, "picker_percent": picker.0, "scraper_percent": picker.1}))
}

/// Percent of a core that Envoy and the scraper take, once every worker has served something.
async fn cost(builder: Builder, duration: Duration) -> Result<(f64, f64)> {
    let stack = builder.start().await?;
    let load = Load {
        target: stack.gateway,
        kind: Kind::Chat { bytes: 1 << 10 },
        clients: 8 * WORKERS,
        pace: Pace::Closed,
        duration: Duration::from_millis(500),
    };
    spawn_blocking(move || load.run()).await??;
    sleep(Duration::from_secs(1)).await;
    let (envoy, scraper) = stack.pids();
    let spent = || -> Result<(Duration, Duration)> {
        Ok((cpu::time(envoy)?, scraper.map_or(Ok(Duration::ZERO), cpu::time)?))
    };
    let before = spent()?;
    sleep(duration).await;
    let after = spent()?;
    let percent = |spent: Duration| 100.0 * spent.as_secs_f64() / duration.as_secs_f64();
    Ok((percent(after.0.saturating_sub(before.0)), percent(after.1.saturating_sub(before.1))))
}
