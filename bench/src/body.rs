//! Chat requests as bytes, ready to be written: building one costs nothing while the clock runs.

use serde_json::json;

/// What a prompt is made of: prose and code, with a character that JSON escapes every 30 bytes or so.
const PARAGRAPH: &str = "The reviewer wrote: \"It does not compile on Windows since the last change, see the log of the nightly build\".\n\
    Please find out what has changed between the two versions, fix it, and say in a sentence or two why it went\n\
    wrong \u{2014} the caf\u{e9} demo is on Friday. This is the function that the log points at:\n\n\
    fn open(name: &str) -> Result<File> {\n\tlet path = root()?.join(\"data\").join(name);\n\
    \tFile::open(&path).with_context(|| path.display().to_string())\n}\n\n";

/// Where a request's number stands, so that no two prompts are the same.
const NUMBER: &str = "0000000000000000";

/// Conversations that requests belong to: the first half of a prompt is its conversation's.
const CONVERSATIONS: usize = 16;

/// A request for one more turn of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Request {
    /// A chat completion over HTTP/1.1 whose body is about `size` bytes long.
    pub(crate) fn chat(size: usize, conversation: usize) -> Self {
        let half = |start: String| {
            let mut text = start;
            while text.len() + text.len() / 8 < size / 2 {
                text += PARAGRAPH;
            }
            text
        };
        let shared = half(format!("Conversation {}. ", conversation % CONVERSATIONS));
        let own = half(format!("Turn {NUMBER}. "));
        let messages =
            json!([{"role": "system", "content": shared}, {"role": "user", "content": own}]);
        let body = json!({"model": "tiny", "max_tokens": 1, "messages": messages}).to_string();
        // As Python's clients write it.
        let body = body.replace('\u{e9}', "\\u00e9").replace('\u{2014}', "\\u2014");
        Self::post(&body, "")
    }

    /// A chat completion of whose prompt, `words` long, no part is like any other's.
    pub(crate) fn unlike_any(words: usize, headers: &str) -> Self {
        let text = format!("{NUMBER}{}", " word".repeat(words));
        let messages = json!([{"role": "user", "content": text}]);
        let body = json!({"model": "tiny", "max_tokens": 1, "messages": messages}).to_string();
        Self::post(&body, headers)
    }

    /// The shortest chat completion with this model.
    pub(crate) fn hello(model: &str) -> Self {
        let messages = json!([{"role": "user", "content": NUMBER}]);
        let body = json!({"model": model, "max_tokens": 1, "messages": messages}).to_string();
        Self::post(&body, "")
    }

    /// A request without a body, which is placed by load alone.
    pub(crate) fn without_body() -> Self {
        let bytes = b"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n".to_vec();
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

    /// The bytes of the request with this number.
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
            let mut request = Request::chat(size, 3);
            let text = String::from_utf8(request.numbered(42).to_vec()).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(body.len().abs_diff(size) < size / 4, "{} for {size}", body.len());
            let value: serde_json::Value = serde_json::from_str(body).unwrap();
            let turn = value.pointer("/messages/1/content").unwrap().as_str().unwrap();
            assert!(turn.starts_with("Turn 0000000000000042. "));
            assert!(body.contains("\\n") && body.contains("\\\"") && body.contains("\\u00e9"));
        }
    }
}
