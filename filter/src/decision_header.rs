//! The decision header, which tells the client about a decision: for operators that look for reasons.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use picker_core::{Reasons, SchedulingResult, flow::Priority};

use crate::{fast_format::FastFormat, identity::Identity};

/// Name of the response header.
pub(crate) const NAME: &str = "x-llm-picker-decision";

/// Longest part of a fairness id in the header, in bytes. Tenants' names and UUIDs fit; an echo of all the 60 kB that
/// Envoy takes in a header, three times as long once escaped, would be more than clients take.
const TOKEN_BYTES_MAX: usize = 128;

/// Renders `endpoint=IP:PORT;queue=0.50;kv=0.91;score=2.82;prefix-hit=0.83;…;snapshot-age-ms=42;…`:
/// each scorer's score, their weighted sum, the share of the prompt that was found cached there, what was expected of
/// the endpoint and of the one that came second.
pub(crate) fn render(
    decision: &SchedulingResult,
    identity: &Identity,
    priority: Priority,
) -> String {
    let mut text = String::with_capacity(320);
    if let Some(endpoint) = decision.ranked.first() {
        text.push_str("endpoint=");
        text.push_address(*endpoint);
    }
    for (scorer, score) in &decision.scores {
        text.push(';');
        text.push_str(scorer);
        text.push('=');
        text.push_hundredths(score.get());
    }
    text.push_str(";score=");
    text.push_hundredths(decision.total);
    if decision.blocks > 0 {
        text.push_str(";prefix-hit=");
        text.push_hundredths(f64::from(decision.sight.matched) / f64::from(decision.blocks));
        push_count(&mut text, "prompt-tokens", decision.sight.prompt_tokens);
    }
    if let Some(reasons) = &decision.reasons {
        push_reasons(&mut text, reasons);
    }
    if let Some(prefill) = &decision.prefill {
        text.push_str(";prefill=");
        text.push_address(prefill.endpoint);
    }
    text.push_str(";snapshot-age-ms=");
    match decision.age {
        Some(age) => text.push_number(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        None => text.push_str("unknown"),
    }
    // Writing to a String cannot fail.
    let _ = write!(text, ";priority={priority}");
    if let Some(flow) = &identity.fairness_id {
        text.push_str(";fairness-id=");
        push_token(&mut text, flow);
    }
    text
}

/// Outcome of a decision.
pub(crate) struct ServedOutcome<'a> {
    pub(crate) model: &'a str,
    /// Time for which the request was held.
    pub(crate) waited: Duration,
    /// Time to the first token, if one came.
    pub(crate) ttft: Option<Duration>,
    pub(crate) status: u16,
    /// The endpoint that answered, if it is another than the chosen one.
    pub(crate) served_by: Option<SocketAddr>,
}

/// Appends what came of a decision.
pub(crate) fn push_outcome(text: &mut String, outcome: &ServedOutcome<'_>) {
    text.push_str(";model=");
    push_token(text, outcome.model);
    push_ms(text, "waited-ms", outcome.waited.as_secs_f64());
    if let Some(ttft) = outcome.ttft {
        push_ms(text, "ttft-ms", ttft.as_secs_f64());
    }
    push_count(text, "status", outcome.status.into());
    if let Some(endpoint) = outcome.served_by {
        text.push_str(";served-by=");
        text.push_address(endpoint);
    }
}

fn push_reasons(text: &mut String, reasons: &Reasons) {
    let Reasons { chosen, runner_up, candidates, dropped } = reasons;
    push_count(text, "hit-tokens", chosen.hit_tokens);
    push_ms(text, "backlog-ms", chosen.backlog);
    push_ms(text, "expected-ttft-ms", chosen.ttft);
    if let Some((endpoint, expected)) = runner_up {
        text.push_str(";runner-up=");
        text.push_address(*endpoint);
        push_ms(text, "runner-up-ttft-ms", expected.ttft);
    }
    push_count(text, "candidates", *candidates);
    for (at, (filter, count)) in dropped.iter().enumerate() {
        text.push_str(if at == 0 { ";filtered=" } else { "," });
        text.push_str(filter);
        text.push(':');
        text.push_number((*count).into());
    }
}

fn push_count(text: &mut String, name: &str, count: u32) {
    text.push(';');
    text.push_str(name);
    text.push('=');
    text.push_number(count.into());
}

/// Appends seconds as whole milliseconds.
fn push_ms(text: &mut String, name: &str, seconds: f64) {
    let ms = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_millis();
    push_count(text, name, u32::try_from(ms).unwrap_or(u32::MAX));
}

/// Appends the beginning of a text that a client may have sent, with every byte that is not plain in a
/// header value as `%XX`.
fn push_token(text: &mut String, raw: &str) {
    for byte in raw.bytes().take(TOKEN_BYTES_MAX) {
        if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}
