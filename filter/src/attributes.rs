//! The decision as attributes of the stream, for Envoy's access logs and the tags of its spans.
//!
//! Each is filter state: `%FILTER_STATE(wasm.llm-picker-pod:PLAIN)%`. One costs a call of the host, so they are written where
//! the configuration asks for them.

use std::{net::SocketAddr, time::Duration};

use picker_core::{SchedulingResult, flow::Priority};
use wire::response::Usage;

use crate::host;

/// Longest value, in bytes: names of tenants and objectives fit, and no client fills a log.
const VALUE_BYTES_MAX: usize = 128;

/// The decision on a request.
pub(crate) struct Decided<'a> {
    pub(crate) pool: &'a str,
    /// Absent where the request failed open.
    pub(crate) result: Option<&'a SchedulingResult>,
    pub(crate) objective: Option<&'a str>,
    pub(crate) priority: Priority,
    /// Time for which the request was held.
    pub(crate) waited: Duration,
}

/// Writes the decision on a request that goes on.
pub(crate) fn tell(decided: &Decided<'_>) {
    let Decided { pool, result, objective, priority, waited } = decided;
    write("pool", pool);
    write("priority", &priority.to_string());
    write("wait-ms", &waited.as_millis().to_string());
    if let Some(objective) = objective {
        write("objective", &plain(objective));
    }
    let Some(result) = result else { return };
    if let Some(first) = result.ranked.first() {
        write("pod", &first.to_string());
    }
    write("prompt-tokens", &result.sight.prompt_tokens.to_string());
    if let Some(reasons) = &result.reasons {
        write("hit-tokens", &reasons.chosen.hit_tokens.to_string());
    }
}

/// Writes what came of a request, before its stream ends.
pub(crate) fn tell_end(
    served_by: Option<SocketAddr>,
    usage: Option<Usage>,
    ttft: Option<Duration>,
) {
    if let Some(endpoint) = served_by {
        write("pod", &endpoint.to_string());
    }
    if let Some(usage) = usage {
        // By the engine's own count, where it says one.
        write("prompt-tokens", &usage.prompt_tokens.to_string());
        write("output-tokens", &usage.output_tokens.to_string());
        if let Some(cached) = usage.cached_tokens {
            write("cached-tokens", &cached.to_string());
        }
    }
    if let Some(ttft) = ttft {
        write("ttft-ms", &ttft.as_millis().to_string());
    }
}

fn write(name: &str, value: &str) {
    host::set_property(&format!("llm-picker-{name}"), value);
}

/// Returns the beginning of a text that a client may have sent, without what would begin another field or line of a log.
fn plain(text: &str) -> String {
    let is_plain = |char: &char| char.is_ascii_graphic() && !matches!(char, '"' | '\\');
    text.chars()
        .map(|char| if is_plain(&char) { char } else { '_' })
        .take(VALUE_BYTES_MAX)
        .collect()
}
