//! The LoRA adapters of an engine.

use picker_core::Adapters;

use super::Series;

/// Names kept of the running and of the waiting adapters each. vLLM keeps as many as `--max-loras`
/// and `--max-cpu-loras` say, some tens.
pub const ADAPTERS_MAX: usize = 256;
/// Bytes of a name; longer ones are left out. vLLM takes any, but no file system more than 255.
pub const ADAPTER_NAME_MAX: usize = 255;

/// Reads a series of `vllm:lora_requests_info`. `None` without the label that bounds them.
pub(super) fn read(series: &Series<'_>) -> Option<Adapters> {
    let max = str::from_utf8(&series.label(b"max_lora")?).ok()?.trim().parse().ok()?;
    Some(Adapters {
        max,
        running: names(series, b"running_lora_adapters"),
        waiting: names(series, b"waiting_lora_adapters"),
    })
}

/// Returns the names in a comma-separated list.
fn names(series: &Series<'_>, label: &[u8]) -> Vec<String> {
    let list = series.label(label).unwrap_or_default();
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && name.len() <= ADAPTER_NAME_MAX)
        .filter_map(|name| str::from_utf8(name).ok())
        .take(ADAPTERS_MAX)
        .map(str::to_owned)
        .collect()
}
