//! The load that a model server reports with a response (ORCA: `endpoint-load-metrics`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Bytes of a report that are read. vLLM's are below 200.
const REPORT_MAX: usize = 4_096;

/// Load that a model server reports of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Requests that wait.
    pub waiting: Option<u32>,
    /// Share of the KV cache in use, 0 to 1.
    pub kv_usage: Option<f32>,
}

/// Names of the number of waiting requests: vLLM's, then Triton's.
const WAITING: [&str; 2] = ["num_requests_waiting", "queue_depth"];
const KV_USAGE: [&str; 2] = ["kv_cache_usage_perc", "kv_cache_utilization"];

impl LoadReport {
    /// Reads the value of the header, in any of the three formats: `JSON {…}`, `TEXT key=value, …`
    /// and `BIN` with a base64 of the protobuf; without a word in front it is that protobuf too, as
    /// `endpoint-load-metrics-bin` has it. `None` if neither number is in it.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.get(..REPORT_MAX).unwrap_or(value).trim_ascii();
        let mut report = Self::default();
        let format = value.get(..5).unwrap_or_default();
        if format.eq_ignore_ascii_case(b"JSON ") {
            report.read_json(value.get(5..)?)?;
        } else if format.eq_ignore_ascii_case(b"TEXT ") {
            report.read_text(std::str::from_utf8(value.get(5..)?).ok()?);
        } else {
            let base64 = value.strip_prefix(b"BIN ").or_else(|| value.strip_prefix(b"bin "));
            report.read_protobuf(&STANDARD.decode(base64.unwrap_or(value)).ok()?)?;
        }
        (report != Self::default()).then_some(report)
    }

    fn read_json(&mut self, json: &[u8]) -> Option<()> {
        let json: Value = serde_json::from_slice(json).ok()?;
        let metrics = json.get("named_metrics").unwrap_or(&json).as_object()?;
        for (name, value) in metrics {
            if let Some(value) = value.as_f64() {
                self.set(name, value);
            }
        }
        Some(())
    }

    /// Reads `named_metrics.num_requests_waiting=0.0, …`.
    fn read_text(&mut self, text: &str) {
        for (name, value) in text.split(',').filter_map(|pair| pair.split_once('=')) {
            let name = name.trim();
            let name = name.strip_prefix("named_metrics.").unwrap_or(name);
            if let Ok(value) = value.trim().parse() {
                self.set(name, value);
            }
        }
    }

    /// Reads `xds.data.orca.v3.OrcaLoadReport`, but only the map `named_metrics = 8` in it.
    fn read_protobuf(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let (field, value, rest) = field(bytes)?;
            bytes = rest;
            if let (8, Wire::Bytes(entry)) = (field, value) {
                self.read_entry(entry)?;
            }
        }
        Some(())
    }

    /// Reads one entry of a map from text to double.
    fn read_entry(&mut self, mut bytes: &[u8]) -> Option<()> {
        let mut name = "";
        let mut number = 0.0;
        while !bytes.is_empty() {
            let (field, value, rest) = field(bytes)?;
            bytes = rest;
            match (field, value) {
                (1, Wire::Bytes(text)) => name = std::str::from_utf8(text).ok()?,
                (2, Wire::Fixed(bits)) => number = f64::from_bits(bits),
                _ => (),
            }
        }
        self.set(name, number);
        Some(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "neither below zero nor no number, and what is beyond u32 counts all"
    )]
    fn set(&mut self, name: &str, value: f64) {
        // An unknown queue must not pass for an idle one.
        if WAITING.contains(&name) && value >= 0.0 {
            self.waiting = Some(value as u32);
        } else if KV_USAGE.contains(&name) && (0.0..=1.0).contains(&value) {
            self.kv_usage = Some(value as f32);
        }
    }
}

/// Protobuf value that matters here.
enum Wire<'a> {
    Bytes(&'a [u8]),
    Fixed(u64),
    Other,
}

/// Splits off the first field of a message: its number, its value, and the rest.
fn field(bytes: &[u8]) -> Option<(u64, Wire<'_>, &[u8])> {
    let (key, bytes) = varint(bytes)?;
    let (value, rest) = match key & 7 {
        0 => (Wire::Other, varint(bytes)?.1),
        1 => {
            let (bits, rest) = bytes.split_first_chunk::<8>()?;
            (Wire::Fixed(u64::from_le_bytes(*bits)), rest)
        }
        2 => {
            let (len, bytes) = varint(bytes)?;
            let (value, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            (Wire::Bytes(value), rest)
        }
        5 => (Wire::Other, bytes.get(4..)?),
        _ => return None,
    };
    Some((key >> 3, value, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index).min(63);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: &str) -> Option<(Option<u32>, Option<f32>)> {
        LoadReport::parse(value.as_bytes()).map(|it| (it.waiting, it.kv_usage))
    }

    #[test]
    fn all_three_formats_say_the_same() {
        let full = Some((Some(3), Some(0.5)));
        assert_eq!(
            said(
                r#"JSON {"named_metrics": {"num_requests_waiting": 3.0, "kv_cache_usage_perc": 0.5}}"#
            ),
            full
        );
        assert_eq!(
            said(
                "TEXT named_metrics.kv_cache_usage_perc=0.5, named_metrics.num_requests_waiting=3"
            ),
            full
        );
        assert_eq!(said("text kv_cache_utilization=0.5"), Some((None, Some(0.5))));
        let entry = |name: &str, value: f64| {
            let mut entry = vec![0x0a, u8::try_from(name.len()).unwrap()];
            entry.extend(name.as_bytes());
            entry.push(0x11);
            entry.extend(value.to_le_bytes());
            [vec![0x42, u8::try_from(entry.len()).unwrap()], entry].concat()
        };
        // The first field is a cpu_utilization that nobody asked for.
        let mut message = vec![0x09];
        message.extend(0.9_f64.to_le_bytes());
        message.extend(entry("num_requests_waiting", 3.0));
        message.extend(entry("kv_cache_usage_perc", 0.5));
        let base64 = STANDARD.encode(message);
        assert_eq!(said(&base64), full);
        assert_eq!(said(&format!("BIN {base64}")), full);
    }

    #[test]
    fn what_says_nothing_is_none() {
        for value in [
            "",
            "JSON",
            "JSON {",
            "JSON {}",
            "JSON {\"named_metrics\": 1}",
            "TEXT ",
            "TEXT a=b",
            "BIN",
            "BIN AAAA",
            "BIN %%%",
            "JSON {\"named_metrics\": {\"kv_cache_usage_perc\": 7}}",
            "/////w==",
        ] {
            assert_eq!(said(value), None, "{value}");
        }
        assert_eq!(said("TEXT num_requests_waiting=-1e99"), None);
        assert_eq!(said("TEXT num_requests_waiting=NaN, kv_usage=0.5"), None);
        let known = r#"{"named_metrics": {"num_requests_waiting": 3.0, "other": "x"}}"#;
        assert_eq!(said(&format!("JSON {known}")), Some((Some(3), None)), "one is no number");
    }
}
