//! Stories, tables and laws of the codecs.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "it/body.rs"]
mod body;
#[path = "it/config.rs"]
mod config;
#[path = "it/epp.rs"]
mod epp;
#[path = "it/exchange.rs"]
mod exchange;
#[path = "it/exposition.rs"]
mod exposition;
#[path = "it/fallbacks.rs"]
mod fallbacks;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/flow.rs"]
mod flow;
#[path = "it/guides.rs"]
mod guides;
#[path = "it/messages.rs"]
mod messages;
#[path = "it/metrics.rs"]
mod metrics;
#[path = "it/operation.rs"]
mod operation;
#[path = "it/order.rs"]
mod order;
#[path = "it/passing.rs"]
mod passing;
#[path = "it/recent.rs"]
mod recent;
#[path = "it/response.rs"]
mod response;
mod sample;
#[path = "it/shared.rs"]
mod shared;
#[path = "it/streams.rs"]
mod streams;
#[path = "it/tally.rs"]
mod tally;

/// Bytes that are near `valid`: some are replaced, left out or put in, or the end is missing.
fn mutated(
    u: &mut arbtest::arbitrary::Unstructured<'_>,
    valid: &[u8],
) -> arbtest::arbitrary::Result<Vec<u8>> {
    let mut bytes = valid.to_vec();
    for _ in 0..u.int_in_range(1..=4)? {
        if bytes.is_empty() {
            break;
        }
        let at = u.choose_index(bytes.len())?;
        match u.int_in_range(0..=4)? {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, u.arbitrary()?),
            3 => bytes[at] = *u.choose(b"\\\"{}[]:,\n0 ")?,
            _ => bytes[at] = u.arbitrary()?,
        }
    }
    Ok(bytes)
}
