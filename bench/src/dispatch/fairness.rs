//! Two tenants, both always waiting: one asks ten times as often, the other with four times as long prompts.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stack::Stack;
use tokio::task::spawn_blocking;

use super::config;
use crate::{
    Setting,
    load::{Kind, Load, Pace},
    report::{Report, Table},
    valve::Valve,
};

const PODS: usize = 2;
const PLACES: usize = 4;

/// Time of a request at a pod: so the gate decides, and not the machine.
const SERVICE: Duration = Duration::from_millis(20);

const LOUD: Tenant = Tenant {
    clients: 100,
    words: 1000,
    output: 800,
    headers: "x-llm-d-inference-fairness-id: loud\r\nx-output-tokens: 800\r\n",
};

const QUIET: Tenant = Tenant {
    clients: 10,
    words: 4000,
    output: 100,
    headers: "x-llm-d-inference-fairness-id: quiet\r\nx-output-tokens: 100\r\n",
};

/// Policies: first come, first served; each flow in turn; each flow by what it uses.
const POLICIES: [&str; 3] =
    ["global-strict-fairness-policy", "round-robin-fairness-policy", "token-fair-fairness-policy"];

#[derive(Clone, Copy, Debug)]
struct Tenant {
    clients: usize,
    words: usize,
    /// Number of tokens of an answer, as the pod's usage says.
    output: u32,
    headers: &'static str,
}

impl Tenant {
    /// Returns the cost of a request: the prompt's tokens, of four bytes each, of which none is
    /// cached, and twice the answer's.
    fn cost(self) -> f64 {
        (self.words * " word".len()) as f64 / 4.0 + f64::from(2 * self.output)
    }
}

/// Measures, and adds to the report.
pub(super) async fn run(setting: &Setting, report: &mut Report) -> Result<Value> {
    let duration = Duration::from_secs(if setting.quick { 2 } else { 8 });
    report.say(format!(
        "Two tenants of one priority, {} clients with prompts of {} words and answers of {} tokens against {} with {} and \
         {}, for {} s behind a gate of {} places. Jain's index is 1 where both get the same and 0.5 where one gets all; \
         tokens are the prompts' and twice the answers'.",
        LOUD.clients,
        LOUD.words,
        LOUD.output,
        QUIET.clients,
        QUIET.words,
        QUIET.output,
        duration.as_secs(),
        PODS * PLACES
    ));
    let mut table = Table::new(&[
        "policy",
        "loud, requests",
        "quiet, requests",
        "Jain by requests",
        "Jain by tokens",
    ]);
    let mut raw = Vec::new();
    for policy in POLICIES {
        let [loud, quiet] = serve(setting, policy, duration).await?;
        let tokens = [loud * LOUD.cost(), quiet * QUIET.cost()];
        let by_requests = jain([loud, quiet]);
        let by_tokens = jain(tokens);
        table.row(&[
            policy.to_owned(),
            format!("{loud:.0}"),
            format!("{quiet:.0}"),
            format!("{by_requests:.3}"),
            format!("{by_tokens:.3}"),
        ]);
        raw.push(json!({"policy": policy, "loud": loud, "quiet": quiet, "jain": [by_requests, by_tokens]}));
    }
    report.show(table);
    Ok(raw.into())
}

/// Returns how many requests of each tenant were served.
async fn serve(setting: &Setting, policy: &str, duration: Duration) -> Result<[f64; 2]> {
    let valve = Valve::start(PODS, SERVICE)?;
    valve.open();
    let stack = Stack::builder(setting.programs.clone())
        .upstreams(valve.pods.clone())
        .workers(4)
        .plugin(config::gate(PLACES, policy))
        .start()
        .await?;
    let tenant = |tenant: Tenant| {
        let kind = Kind::Tenant { words: tenant.words, headers: tenant.headers };
        let target = stack.gateway;
        let load = Load { target, kind, clients: tenant.clients, pace: Pace::Closed, duration };
        spawn_blocking(move || load.run())
    };
    let loud = tenant(LOUD);
    let quiet = tenant(QUIET);
    let loud = loud.await??;
    let quiet = quiet.await??;
    ensure!(
        loud.failed + quiet.failed == 0,
        "{policy}: {} and {} failed",
        loud.failed,
        quiet.failed
    );
    // Requests that are still in the queue at the end are served too, of either tenant.
    Ok([loud.in_time as f64, quiet.in_time as f64])
}

fn jain(shares: [f64; 2]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (2.0 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_are_one_and_all_for_one_is_half() {
        insta::assert_debug_snapshot!([jain([3.0, 3.0]), jain([5.0, 0.0])], @r"
        [
            1.0,
            0.5,
        ]
        ");
    }
}
