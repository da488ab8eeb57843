//! The requests that a refused configuration was meant for.

use serde_json::Value;

use super::{At, EnvoyConfig, FailureMode, Hold, Match, json, matching};

/// Requests that a refused configuration was meant for, as far as that can be read of it: there a
/// gateway that fails closed answers by itself, and all others go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Treatment of these requests; `None` where the configuration does not say, or not readably.
    pub failure_mode: Option<FailureMode>,
    /// True if it would have Envoy choose routes by headers that no client may set.
    pub route_headers: bool,
    /// Place where requests are held; `None` where that is not readable.
    pub hold: Option<Hold>,
    /// Rules for the requests, of the pools with a readable rule.
    pub matches: Vec<Match>,
}

impl Claims {
    /// Reads what can be read of a configuration; nothing of what is no JSON.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        json::read(bytes).map(|json| Self::read(&json.value)).unwrap_or_default()
    }

    fn read(json: &Value) -> Self {
        let Value::Object(root) = json else { return Self::default() };
        let mode = match root.get("failureMode").and_then(Value::as_str) {
            Some("FailOpen") => Some(FailureMode::FailOpen),
            Some("FailClose") => Some(FailureMode::FailClose),
            Some(_) | None => None,
        };
        Self {
            failure_mode: mode,
            route_headers: root.get("routeHeaders").and_then(Value::as_bool).unwrap_or(false),
            hold: hold(root.get("envoy")),
            matches: matches(root.get("pools")),
        }
    }

    /// True if its requests are to be answered with an error rather than sent on unpicked.
    #[must_use]
    pub fn fails_closed(&self) -> bool {
        self.failure_mode == Some(FailureMode::FailClose)
    }
}

/// Reads the place where requests are held, the default where none is named.
fn hold(envoy: Option<&Value>) -> Option<Hold> {
    let default = Some(EnvoyConfig::default().way.hold());
    match envoy {
        None | Some(Value::Null) => default,
        Some(Value::Object(envoy)) => match envoy.get("hold") {
            None | Some(Value::Null) => default,
            Some(name) => name.as_str()?.parse().ok(),
        },
        Some(_) => None,
    }
}

/// Reads the rules of the pools. Without any pool, all requests are for the only one.
fn matches(pools: Option<&Value>) -> Vec<Match> {
    match pools {
        None | Some(Value::Null) => vec![Match::default()],
        Some(Value::Array(pools)) => pools.iter().filter_map(rule).collect(),
        Some(_) => Vec::new(),
    }
}

/// Reads the rule of one pool; `None` where it is unreadable, and could claim the requests of others.
fn rule(pool: &Value) -> Option<Match> {
    let Value::Object(pool) = pool else { return None };
    match pool.get("match") {
        None | Some(Value::Null) => Some(Match::default()),
        Some(rule) => matching::read(&At::root(rule)).ok(),
    }
}
