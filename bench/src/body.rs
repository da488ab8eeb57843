//! Chat requests as bytes, ready to be written: building one costs nothing while the clock runs.

use serde_json::json;

/// Text of a prompt: prose and code, with a character that JSON escapes every 30 bytes or so.
const PARAGRAPH: &str = "The reviewer wrote: \"It does not compile on Windows since the last change, see the log of the nightly build\".\n\
    Please find out what has changed between the two versions, fix it, and say in a sentence or two why it went\n\
    wrong \u{2014} the caf\u{e9} demo is on Friday. This is the function that the log points at:\n\n\
    fn open(name: &str) -> Result<File> {\n\tlet path = root()?.join(\"data\").join(name);\n\
    \tFile::open(&path).with_context(|| path.display().to_string())\n}\n\n";

/// Text of a prompt without anything that JSON escapes.
const PLAIN_PARAGRAPH: &str = "The reviewer wrote: It does not compile on Windows since the last change, see the log of the nightly build. \
    Please find out what has changed between the two versions, fix it, and say in a sentence or two why it went \
    wrong - the cafe demo is on Friday. This is the function that the log points at: \
    fn open(name: str) -> Result<File> { let path = root()?.join(data).join(name); \
    File::open(path).with_context(path.display().to_string()) }  ";

/// The text that prompts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Prose and code as they are.
    Escaped,
    /// Prose and code without anything that JSON escapes.
    Plain,
}

impl Text {
    /// Returns the start, and as much more as makes about so many bytes of JSON.
    fn fill(self, start: String, bytes: usize) -> String {
        let mut text = start;
        match self {
            // Escapes add an eighth.
            Self::Escaped => {
                while text.len() + text.len() / 8 < bytes {
                    text += PARAGRAPH;
                }
            }
            Self::Plain => {
                let more = bytes.saturating_sub(text.len());
                text.extend(PLAIN_PARAGRAPH.chars().cycle().take(more));
            }
        }
        text
    }
}

/// Place of a request's number, which makes every prompt different.
const NUMBER: &str = "0000000000000000";

/// Number of conversations that requests belong to: the first half of a prompt is its
/// conversation's.
const CONVERSATIONS: usize = 16;

/// A request for one more turn of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Request {
    /// Returns a chat completion over HTTP/1.1 with a body of about `size` bytes.
    pub(crate) fn chat(size: usize, text: Text, conversation: usize) -> Self {
        let conversation = conversation % CONVERSATIONS;
        let shared = text.fill(format!("Conversation {conversation}. "), size / 2);
        let own = text.fill(format!("Turn {NUMBER}. "), size / 2);
        let messages =
            json!([{"role": "system", "content": shared}, {"role": "user", "content": own}]);
        let body = json!({"model": "tiny", "max_tokens": 1, "messages": messages}).to_string();
        // As Python's clients write it.
        let body = body.replace('\u{e9}', "\\u00e9").replace('\u{2014}', "\\u2014");
        // For an Envoy that keeps conversations together by itself; the same for all, so it costs all the same.
        Self::post(&body, &format!("x-conversation: {conversation}\r\n"))
    }

    /// Returns a chat completion with a prompt of `words` words, no part of which is like any
    /// other's.
    pub(crate) fn unlike_any(words: usize, headers: &str) -> Self {
        let text = format!("{NUMBER}{}", " word".repeat(words));
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": "tiny", "max_tokens": 1, "messages": messages}).to_string();
        Self::post(&body, headers)
    }

    /// Returns the shortest chat completion with this model.
    pub(crate) fn hello(model: &str) -> Self {
        let messages = json!([{"role": "user", "content": NUMBER}]);
        let body = json!({"model": model, "max_tokens": 1, "messages": messages}).to_string();
        Self::post(&body, "")
    }

    /// Returns a request without a body, which is placed by load alone.
    pub(crate) fn without_body() -> Self {
        let bytes = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n".to_vec();
        Self { number_at: bytes.len(), bytes }
    }

    /// Returns a request that computes nothing.
    pub(crate) fn health() -> Self {
        let bytes = b"GET /health HTTP/1.1\r\nhost: gateway\r\n\r\n".to_vec();
        Self { number_at: bytes.len(), bytes }
    }

    /// Returns a request with a body of so many bytes that no filter reads.
    pub(crate) fn opaque(size: usize) -> Self {
        let head = format!(
            "POST /v1/sounds HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/octet-stream\r\n\
             content-length: {size}\r\n\r\n"
        );
        let bytes = [head.into_bytes(), vec![b'x'; size]].concat();
        Self { number_at: bytes.len(), bytes }
    }

    fn post(body: &str, headers: &str) -> Self {
        let text = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
             {headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let number_at = text.find(NUMBER).unwrap_or_default();
        Self { bytes: text.into_bytes(), number_at }
    }

    /// Returns the bytes of the request with this number.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        let digits = format!("{number:016}");
        let place = self.bytes.get_mut(self.number_at..self.number_at + NUMBER.len());
        if let Some(place) = place {
            place.copy_from_slice(digits.as_bytes());
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_request_is_json_of_the_wanted_size_with_escapes() {
        for size in [1 << 10, 220 << 10] {
            let mut request = Request::chat(size, Text::Escaped, 3);
            let text = String::from_utf8(request.numbered(42).to_vec()).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(body.len().abs_diff(size) < size / 4, "{} for {size}", body.len());
            let value: serde_json::Value = serde_json::from_str(body).unwrap();
            let turn = value.pointer("/messages/1/content").unwrap().as_str().unwrap();
            assert!(turn.starts_with("Turn 0000000000000042. "));
            assert!(body.contains("\\n") && body.contains("\\\"") && body.contains("\\u00e9"));
        }
    }

    #[test]
    fn a_plain_request_has_no_escapes() {
        for size in [1 << 10, 220 << 10] {
            let text = String::from_utf8(Request::chat(size, Text::Plain, 3).bytes).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nx-conversation: 3\r\n"));
            assert!(body.len().abs_diff(size) < size / 4, "{} for {size}", body.len());
            assert!(!body.contains('\\'));
        }
    }
}
