//! The scraper's only use of `wire`.

use std::{borrow::Cow, time::Duration};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use picker_core::{Metrics, Snapshot};
use serde_json::Value;
use wire::{
    FrameError,
    push::{SEQUENCE_HEADER, SIGNATURE_HEADER, Secret, Stamp, TIME_HEADER},
};

pub(crate) use wire::{
    metrics::Reading,
    report::{MEDIA_TYPE as REPORT_MEDIA_TYPE, REPORT_BYTES_MAX, Report},
};

/// Characters of a peer's error message that are logged: a sentence or two.
const MESSAGE_CHARS_MAX: usize = 200;

/// What a pod's page said, as the engine has it, `age` after it was read.
pub(crate) fn metrics(reading: &Reading, age: Duration) -> Metrics {
    reading.clone().aged(age)
}

/// The body of a push.
pub(crate) fn encode(snapshot: &Snapshot) -> Result<Vec<u8>, FrameError> {
    wire::snapshot::encode(snapshot)
}

/// The headers that vouch for `body`.
pub(crate) fn sign(secret: &Secret, stamp: Stamp, body: &[u8]) -> HeaderMap {
    let signature = HeaderValue::try_from(secret.sign(stamp, body));
    let headers = [
        (TIME_HEADER, stamp.time_ms.into()),
        (SEQUENCE_HEADER, stamp.sequence.into()),
        // Hex digits can't fail; an empty signature would be refused by the Envoy, and told of.
        (SIGNATURE_HEADER, signature.unwrap_or(HeaderValue::from_static(""))),
    ];
    headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value)).collect()
}

/// The entity tag of a snapshot that is fetched.
pub(crate) fn entity_tag(stamp: Stamp) -> HeaderValue {
    // Digits, a dash and two quotes can't fail; without a tag nobody waits for anything new.
    HeaderValue::try_from(stamp.entity_tag()).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What a gateway told with its answer to a push, if it told anything that is understood.
pub(crate) fn report(answer: &[u8]) -> Option<Report> {
    Report::decode(answer).ok()
}

/// What a peer said with an error, as one short line for the log: the `message` of a JSON error as
/// the plugin and vLLM write them, else the text as it is.
pub(crate) fn error_message(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Cow::Borrowed);
    one_line(&text)
}

/// The words of a stranger, which may neither begin a line of their own in the log nor go on for
/// ever.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    text.trim().chars().map(plain).take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_in_its_own_words() {
        assert_eq!(error_message(br#"{"error":{"message":"too old"}}"#), "too old");
        assert_eq!(error_message(br#"{"error":"too old"}"#), r#"{"error":"too old"}"#);
        assert_eq!(error_message(b"no healthy upstream\n"), "no healthy upstream");
        let forged = b"no\n2026-01-01T00:00:00Z  INFO all is well\x1b[2J";
        assert_eq!(error_message(forged), "no 2026-01-01T00:00:00Z  INFO all is well [2J");
        assert_eq!(error_message(&[0xff; 1000]).chars().count(), MESSAGE_CHARS_MAX);
    }
}
