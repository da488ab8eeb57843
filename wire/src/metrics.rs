//! What the picker reads off a model server's `/metrics` page.
//!
//! One pass over the lines: a page of 51 KB has 614, of which some five matter. Nothing is
//! allocated but the names of LoRA adapters.

mod adapters;
mod reading;
mod series;

pub use adapters::{ADAPTER_NAME_MAX, ADAPTERS_MAX};
pub use reading::{Missing, Reading};

use reading::Gathered;
use series::Series;

/// What all of vLLM's families start with.
const PREFIX: &[u8] = b"vllm:";

/// Reads a page in Prometheus' text format.
///
/// Waiting and running requests are summed over the series of one family, which data parallel
/// engines have; of KV-cache usage the highest counts. A line that is not understood is skipped, as
/// is a last line without its line break, which may be cut off.
///
/// # Errors
/// Without the number of waiting or of running requests or the KV-cache usage: an engine of which
/// one is unknown must not pass for an idle one.
pub fn scan(page: &[u8]) -> Result<Reading, Missing> {
    let mut gathered = Gathered::default();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', page) {
        let line = page.get(start..end).unwrap_or_default();
        start = end + 1;
        if let Some(line) = line.strip_prefix(PREFIX) {
            take(&mut gathered, line);
        }
    }
    gathered.finish()
}

/// Takes in one line behind the prefix, if it is of a family that is wanted.
fn take(gathered: &mut Gathered, line: &[u8]) {
    // By the first letter, so that the 600 lines of histograms cost one comparison each.
    match line.first() {
        Some(b'n' | b'k' | b'g' | b'c' | b'l') => (),
        _ => return,
    }
    let name = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t'));
    let Some((name, rest)) = name.and_then(|end| line.split_at_checked(end)) else { return };
    if !WANTED.contains(&name) {
        return;
    }
    if let Some(series) = Series::parse(rest) {
        gathered.take(name, &series);
    }
}

const WANTED: [&[u8]; 6] = [
    b"num_requests_waiting",
    b"num_requests_running",
    b"kv_cache_usage_perc",
    b"gpu_cache_usage_perc",
    b"cache_config_info",
    b"lora_requests_info",
];
