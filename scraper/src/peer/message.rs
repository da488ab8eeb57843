//! A peer's own words, made fit for the log.

use std::borrow::Cow;

use serde_json::Value;

/// Characters of a peer's error message that are logged: a sentence or two.
const MESSAGE_CHARS_MAX: usize = 200;

/// Returns a peer's error as one short line for the log: the `message` of a JSON error as the
/// plugin and vLLM write them, else the text as it is.
pub(super) fn error_message(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json.pointer("/error/message")?.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Cow::Borrowed);
    one_line(&text)
}

/// Returns the text as one short line, so that a stranger's words can neither begin a line of their
/// own in the log, nor stand in another order than they are written in, nor go on for ever.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |char: char| if char.is_control() || steers_lines(char) { ' ' } else { char };
    text.trim().chars().map(plain).take(MESSAGE_CHARS_MAX).collect()
}

/// True for a separator of lines or paragraphs, and for a mark that reorders the text around it.
const fn steers_lines(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
        let reordered = "a\u{202e}b\u{2028}c\u{2067}d";
        assert_eq!(error_message(reordered.as_bytes()), "a b c d");
        assert_eq!(error_message(&[0xff; 1000]).chars().count(), MESSAGE_CHARS_MAX);
    }
}
