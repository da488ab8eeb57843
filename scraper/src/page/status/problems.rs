//! Problems of pools and gateways, in sentences.

use std::time::Duration;

use picker_core::{exchange::INTERVAL_MAX, saturation::StaleEndpoints};

use super::standing::Standing;
use crate::page::bands::BandState;

/// Pods that one kind of trouble names; the rest are counted.
const NAMED_MAX: usize = 3;

/// Wait of a band's oldest request from which on people should know of it: five times what a request
/// usually takes to its first token on a full pool.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Requests may fail or go astray.
    Error,
    /// Something is not as it should be.
    Warning,
}

/// A problem, as one or two sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) level: Level,
    pub(super) text: String,
}

/// The facts about a pool by which its problems are judged.
#[derive(Debug)]
pub(super) struct PoolFacts<'a> {
    pub(super) name: &'a str,
    /// Pods; `None` before the first list.
    pub(super) pods: Option<Vec<PodFacts>>,
    /// Endpoints that count as full at a gateway until their metrics are fresh, if there are such.
    pub(super) stale: Option<StaleEndpoints>,
    /// Bands of flow control.
    pub(super) bands: Vec<BandState>,
}

/// The facts about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodFacts {
    pub(super) address: String,
    pub(super) state: PodState,
}

/// The state of a pod's metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PodState {
    /// The metrics are fresh.
    Up,
    /// The metrics are this old.
    Stale(Duration),
    /// The metrics never came, or cannot be read for this reason.
    Unread(Option<String>),
    /// The pod can't be reached, for this reason.
    Down(String),
}

/// The facts about a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GatewayFacts {
    pub(super) name: String,
    /// Time since the gateway last took a snapshot; `None` if it never did.
    pub(super) taken: Option<Duration>,
    /// Reason why the gateway takes no snapshots, if it does not.
    pub(super) down: Option<String>,
    /// Standing of the gateway among the others.
    pub(super) standing: Standing,
}

impl Problem {
    const fn error(text: String) -> Self {
        Self { level: Level::Error, text }
    }

    const fn warning(text: String) -> Self {
        Self { level: Level::Warning, text }
    }
}

/// Returns all problems, errors first.
pub(super) fn problems(pools: &[PoolFacts<'_>], gateways: &[GatewayFacts]) -> Vec<Problem> {
    let mut problems: Vec<_> = gateways.iter().filter_map(gateway_problem).collect();
    if gateways.is_empty() {
        let text = "No gateway gets snapshots: none is given to push to, and none has fetched one.";
        problems.push(Problem::error(text.to_owned()));
    }
    pools.iter().for_each(|pool| add_pool_problems(&mut problems, pool));
    problems.sort_by_key(|problem| problem.level != Level::Error);
    problems
}

fn gateway_problem(gateway: &GatewayFacts) -> Option<Problem> {
    let GatewayFacts { name, taken, down, standing } = gateway;
    match (down, taken) {
        (Some(why), Some(taken)) => Some(Problem::error(format!(
            "Gateway {name} takes no snapshots: {why}. What it knows of the pods is {} old.",
            rounded(*taken)
        ))),
        (Some(why), None) => Some(Problem::error(format!(
            "Gateway {name} has never taken a snapshot: {why}. It knows no pods."
        ))),
        (None, None) => Some(Problem::warning(format!("Gateway {name} has not answered yet."))),
        (None, Some(_)) => standing_problem(name, *standing),
    }
}

fn standing_problem(name: &str, standing: Standing) -> Option<Problem> {
    let text = match standing {
        Standing::Alone | Standing::Elsewhere | Standing::InStep(_) => return None,
        Standing::Apart { interval: Some(interval) } => format!(
            "Gateway {name} picks without knowing of the others: pushes come every {interval:?}, and \
             an exchange needs {INTERVAL_MAX:?} at most."
        ),
        Standing::Apart { interval: None } => format!(
            "Gateway {name} tells the others nothing: it is of an older version, or its reports are refused."
        ),
        Standing::Behind(age) => {
            format!("Gateway {name} is out of step: it last told the others {} ago.", rounded(age))
        }
    };
    Some(Problem::warning(text))
}

fn add_pool_problems(problems: &mut Vec<Problem>, pool: &PoolFacts<'_>) {
    let name = pool.name;
    let Some(pods) = &pool.pods else {
        let text = format!("The pods of pool {name} are still being looked up.");
        return problems.push(Problem::warning(text));
    };
    if pods.is_empty() {
        let text = format!("Pool {name} has no pods.");
        return problems.push(Problem::error(text));
    }
    let down = pods.iter().filter_map(|pod| match &pod.state {
        PodState::Down(why) => Some(format!("{} ({why})", pod.address)),
        PodState::Up | PodState::Stale(_) | PodState::Unread(_) => None,
    });
    let down: Vec<_> = down.collect();
    if down.len() == pods.len() {
        let text = format!("Every pod of pool {name} is down: {}.", listed(&down));
        problems.push(Problem::error(text));
    } else if !down.is_empty() {
        let count = down.len();
        let all = pods.len();
        let are = if count == 1 { "is" } else { "are" };
        let text = format!("{count} of {all} pods of pool {name} {are} down: {}.", listed(&down));
        // The others serve; half of a pool is no detail.
        let is_error = 2 * count >= all;
        problems.push(if is_error { Problem::error(text) } else { Problem::warning(text) });
    }
    let unread = pods.iter().filter_map(|pod| match &pod.state {
        PodState::Unread(why) => why.as_ref().map(|why| format!("{} ({why})", pod.address)),
        PodState::Up | PodState::Down(_) | PodState::Stale(_) => None,
    });
    let unread: Vec<_> = unread.collect();
    if !unread.is_empty() {
        let text = format!(
            "Pool {name} has pods whose metrics cannot be read; they are placed by what is in flight there: {}.",
            listed(&unread)
        );
        problems.push(Problem::warning(text));
    }
    let stale = pods.iter().filter_map(|pod| match pod.state {
        PodState::Stale(age) => Some(format!("{} ({} old)", pod.address, rounded(age))),
        PodState::Up | PodState::Down(_) | PodState::Unread(_) => None,
    });
    let stale: Vec<_> = stale.collect();
    if !stale.is_empty() {
        let text = format!("Pool {name} has pods whose numbers are stale: {}.", listed(&stale));
        problems.push(Problem::warning(text));
    }
    problems.extend(pool.stale.map(|stale| stale_problem(name, &stale)));
    problems.extend(pool.bands.iter().filter_map(|band| wait_problem(name, band)));
}

/// Says which band waits for long, and whether it is served at all.
fn wait_problem(pool: &str, band: &BandState) -> Option<Problem> {
    let BandState { priority, objectives, sum, .. } = band;
    let oldest = sum.oldest.filter(|oldest| *oldest >= WAIT_MAX)?;
    let names =
        if objectives.is_empty() { String::new() } else { format!(" ({})", listed(objectives)) };
    let served = match sum.dispatched {
        0 => "none was let go within the last minute".to_owned(),
        1 => "1 was let go within the last minute".to_owned(),
        more => format!("{more} were let go within the last minute"),
    };
    let requests = if sum.requests == 1 { "request waits" } else { "requests wait" };
    Some(Problem::warning(format!(
        "{} {requests} at priority {priority}{names} of pool {pool}, the oldest for {}; {served}.",
        sum.requests,
        rounded(oldest)
    )))
}

/// Says why requests wait. An error if they wait for every endpoint.
fn stale_problem(pool: &str, stale: &StaleEndpoints) -> Problem {
    let text = format!(
        "Requests of pool {pool} wait for fresh metrics: {stale}. Scrape more often, raise \
         metricsStalenessThreshold, or take stalenessPolicy \"estimate\"."
    );
    let level = if stale.stale == stale.endpoints { Level::Error } else { Level::Warning };
    Problem { level, text }
}

fn listed(names: &[String]) -> String {
    let (shown, rest) = names.split_at(names.len().min(NAMED_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", shown.join(", "))
}

/// Rounds to whole seconds, and to milliseconds below one.
fn rounded(age: Duration) -> String {
    let age = if age < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(0))
    } else {
        Duration::from_secs(age.as_secs())
    };
    humantime::format_duration(age).to_string()
}

#[cfg(test)]
mod tests {
    use picker_core::saturation::Staleness;

    use super::*;
    use crate::page::bands::FlowState;

    fn pod(port: u16, state: PodState) -> PodFacts {
        PodFacts { address: format!("10.0.0.1:{port}"), state }
    }

    fn band(priority: i32, seconds: u64, dispatched: u64) -> BandState {
        let oldest = Some(Duration::from_secs(seconds));
        let sum = FlowState { requests: 60, bytes: 0, oldest, dispatched };
        let objectives = if priority > 0 { vec!["batch".to_owned()] } else { Vec::new() };
        BandState { priority, objectives, sum, tenants: Vec::new(), tenant_count: 1 }
    }

    fn written(pools: &[PoolFacts<'_>], gateways: &[GatewayFacts]) -> String {
        let line = |it: Problem| format!("{:?}: {}", it.level, it.text);
        problems(pools, gateways).into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn gateway(taken: Option<u64>, down: Option<&str>) -> GatewayFacts {
        let taken = taken.map(Duration::from_millis);
        let (name, down) = ("http://g:1".to_owned(), down.map(str::to_owned));
        GatewayFacts { name, taken, down, standing: Standing::Alone }
    }

    #[test]
    fn a_gateway_that_is_not_in_step_is_told_of() {
        let standings = [
            Standing::InStep(Duration::from_millis(60)),
            Standing::Behind(Duration::from_secs(3)),
            Standing::Apart { interval: None },
            Standing::Apart { interval: Some(Duration::from_secs(1)) },
        ];
        let gateways =
            standings.map(|standing| GatewayFacts { standing, ..gateway(Some(40), None) });
        insta::assert_snapshot!(written(&[], &gateways), @r"
        Warning: Gateway http://g:1 is out of step: it last told the others 3s ago.
        Warning: Gateway http://g:1 tells the others nothing: it is of an older version, or its reports are refused.
        Warning: Gateway http://g:1 picks without knowing of the others: pushes come every 1s, and an exchange needs 250ms at most.
        ");
    }

    #[test]
    fn each_trouble_is_one_sentence() {
        let refused = || PodState::Down("connection refused".to_owned());
        let some = [
            pod(1, refused()),
            pod(2, PodState::Up),
            pod(3, PodState::Stale(Duration::from_millis(3_456))),
            pod(4, PodState::Unread(None)),
            pod(5, PodState::Unread(Some("answered 404 Not Found".to_owned()))),
        ];
        let stale = StaleEndpoints {
            stale: 2,
            endpoints: 5,
            oldest: Some(Duration::from_millis(1_020)),
            allowed: Duration::from_millis(200),
            policy: Staleness::Saturated,
        };
        let pools = [
            PoolFacts {
                name: "some",
                pods: Some(some.to_vec()),
                stale: Some(stale),
                bands: vec![band(10, 52, 0), band(5, 9, 0), band(0, 12, 7)],
            },
            PoolFacts {
                name: "all",
                pods: Some((1..6).map(|n| pod(n, refused())).collect()),
                stale: None,
                bands: Vec::new(),
            },
            PoolFacts { name: "none", pods: Some(Vec::new()), stale: None, bands: Vec::new() },
            PoolFacts { name: "new", pods: None, stale: None, bands: Vec::new() },
        ];
        let gateways = [
            gateway(Some(40), None),
            gateway(None, None),
            gateway(Some(90_000), Some("connection refused")),
            gateway(None, Some("answered 401 Unauthorized: the signature does not match")),
        ];
        insta::assert_snapshot!(written(&pools, &gateways), @r#"
        Error: Gateway http://g:1 takes no snapshots: connection refused. What it knows of the pods is 1m 30s old.
        Error: Gateway http://g:1 has never taken a snapshot: answered 401 Unauthorized: the signature does not match. It knows no pods.
        Error: Every pod of pool all is down: 10.0.0.1:1 (connection refused), 10.0.0.1:2 (connection refused), 10.0.0.1:3 (connection refused) and 2 more.
        Error: Pool none has no pods.
        Warning: Gateway http://g:1 has not answered yet.
        Warning: 1 of 5 pods of pool some is down: 10.0.0.1:1 (connection refused).
        Warning: Pool some has pods whose metrics cannot be read; they are placed by what is in flight there: 10.0.0.1:5 (answered 404 Not Found).
        Warning: Pool some has pods whose numbers are stale: 10.0.0.1:3 (3s old).
        Warning: Requests of pool some wait for fresh metrics: 2 of 5 endpoints have stale metrics and count as full (stalenessPolicy "saturated"): found metrics 1020 ms old; allowed: 200 ms (metricsStalenessThreshold). Scrape more often, raise metricsStalenessThreshold, or take stalenessPolicy "estimate".
        Warning: 60 requests wait at priority 10 (batch) of pool some, the oldest for 52s; none was let go within the last minute.
        Warning: 60 requests wait at priority 0 of pool some, the oldest for 12s; 7 were let go within the last minute.
        Warning: The pods of pool new are still being looked up.
        "#);
    }

    #[test]
    fn nothing_is_said_where_all_is_well() {
        let pods = Some(vec![pod(1, PodState::Up)]);
        let pool = PoolFacts { name: "a", pods, stale: None, bands: vec![band(0, 9, 1)] };
        assert_eq!(written(&[pool], &[gateway(Some(40), None)]), "");
        assert!(written(&[], &[]).starts_with("Error: No gateway gets snapshots"));
    }
}
