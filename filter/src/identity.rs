//! Who asks: the objective and the fairness id that authentication put into the headers.

use std::time::Duration;

use engine::{Objective, flow::Priority};
use wire::config;

use crate::host::Headers;

/// A Go duration; may only shorten what the operator set (EPP v0.11).
const TTL: [&str; 1] = ["x-llm-d-inference-ttl"];

/// Milliseconds; the older name after the canonical one.
const SLO_TTFT_MS: [&str; 2] = ["x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"];

/// Who a request is from, as far as its headers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Name of the InferenceObjective, which gives the priority.
    pub(crate) objective: Option<String>,
    /// The tenant between which and others capacity is shared.
    pub(crate) fairness_id: Option<String>,
    /// How long the client is willing to wait for its turn.
    pub(crate) ttl: Option<Duration>,
    /// When the client wants its first token.
    pub(crate) slo_ttft: Option<Duration>,
}

impl Identity {
    /// Reads both from the headers, by the first configured name that is present.
    pub(crate) fn read(headers: &Headers, names: &config::Identity) -> Self {
        Self {
            objective: first_present(headers, &names.objective_headers),
            fairness_id: first_present(headers, &names.fairness_headers),
            ttl: TTL.iter().find_map(|name| go_duration(last(headers, name)?)),
            slo_ttft: SLO_TTFT_MS.iter().find_map(|name| millis(last(headers, name)?)),
        }
    }

    /// The objective's priority, by the configuration and else by the snapshot; 0 where there is no
    /// objective or none of that name, as in the EPP.
    pub(crate) fn priority(
        &self,
        configured: &[Objective],
        in_snapshot: impl Fn(&str) -> Option<Priority>,
    ) -> Priority {
        let Some(name) = self.objective.as_deref() else { return Priority::default() };
        let found = configured.iter().find(|objective| objective.name == name);
        found.map(|it| it.priority).or_else(|| in_snapshot(name)).unwrap_or_default()
    }
}

fn go_duration(value: &[u8]) -> Option<Duration> {
    config::parse_duration(std::str::from_utf8(value).ok()?.trim())
}

fn millis(value: &[u8]) -> Option<Duration> {
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_millis)
}

/// The value of the first of `names` that the request carries. Of a repeated header the LAST value
/// counts: authentication appends its own behind whatever a client sent.
fn first_present(headers: &Headers, names: &[String]) -> Option<String> {
    let value = names.iter().find_map(|name| last(headers, name))?;
    // An id that is no UTF-8 is as good as another, as long as equal bytes give equal ids.
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The last value of a header.
pub(crate) fn last<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    let (_, value) = headers.iter().rev().find(|(key, _)| key == name)?;
    Some(value)
}
