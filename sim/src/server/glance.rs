//! A look at both ends of a large body, where a picker's bench wants no parser behind it.

use super::{
    error::Refusal,
    prompt::{self, Ask, Delivery, StreamOptions},
};
use crate::{
    Options,
    engine_core::{Chain, Request},
};

/// Bytes up to which bodies are parsed under every profile: that costs a few microseconds.
pub(super) const WHOLE_MAX: usize = 16 << 10;

/// Bytes of an end. Clients write their settings before the messages or after them.
const END: usize = 1024;

/// Reads model, stream and lengths from both ends. The prompt counts as one token: it has no cost
/// under the profile that comes here, and no place in the cache.
pub(super) fn read(options: &Options, body: &[u8]) -> Result<Ask, Refusal> {
    let head = body.get(..END).unwrap_or(body);
    let tail = body.get(body.len().saturating_sub(END)..).unwrap_or(body);
    let find = |key: &str| value(head, key).or_else(|| value(tail, key));
    let model = find("model").map_or_else(|| options.model(), |text| text.trim_matches('"'));
    prompt::adapter(options, model)?;
    let number = |key| find(key).and_then(|text| text.parse().ok());
    let max_tokens = number("max_completion_tokens").or_else(|| number("max_tokens"));
    let mut prompt = Chain::new(options.block_size, "");
    prompt.push(0);
    Ok(Ask {
        model: model.to_owned(),
        delivery: Delivery::new(
            find("stream") == Some("true"),
            StreamOptions { include_usage: find("include_usage") == Some("true") },
        ),
        request: Request {
            prompt,
            max_tokens: max_tokens.unwrap_or(options.output_tokens),
            stop_after: None,
            priority: 0,
            adapter: None,
            is_received: false,
        },
        previous: None,
    })
}

/// Returns the number, word or string after `"key":`.
fn value<'a>(text: &'a [u8], key: &str) -> Option<&'a str> {
    let quoted = format!("\"{key}\"");
    let at = text.windows(quoted.len()).position(|window| window == quoted.as_bytes())?;
    let rest = text.get(at + quoted.len()..)?.trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start();
    let end = rest.iter().position(|byte| b",} \n]".contains(byte)).unwrap_or(rest.len());
    std::str::from_utf8(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_at_both_ends() {
        let words = "word ".repeat(10_000);
        let body =
            format!(r#"{{"model": "tiny","messages":[{words}],"max_tokens": 3,"stream":true}}"#);
        let ask = read(&Options::default(), body.as_bytes()).unwrap();
        assert_eq!(ask.request.max_tokens, 3);
        assert_eq!(ask.delivery, Delivery::Stream { include_usage: false });
    }
}
