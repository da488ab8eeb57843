//! The name of what an answer made, by which clients ask for it again: the `id` of a response, a conversation, a file or
//! a batch.

use super::Kind;

/// Bytes of an answer's beginning in which the name is looked for: engines write it among the first members, in a stream in
/// the first event.
const LEAD_BYTES_MAX: usize = 4 << 10;

/// Member that is the name, at the root of a document or within the object below.
const NAME: &[u8] = b"id";

/// Member of a stream's events that has the response.
const RESPONSE: &[u8] = b"response";

/// Search for the name in an answer as it passes.
#[derive(Clone, Debug)]
pub struct MadeName {
    kind: Kind,
    lead: Vec<u8>,
}

impl MadeName {
    /// Begins to search an answer of that form; `None` for one that is not read.
    #[must_use]
    pub fn new(kind: Kind) -> Option<Self> {
        kind.is_read().then(|| Self { kind, lead: Vec::new() })
    }

    /// Appends a chunk. Returns the name once it is there, escapes as written.
    pub fn push(&mut self, chunk: &[u8]) -> Option<&[u8]> {
        let room = LEAD_BYTES_MAX.saturating_sub(self.lead.len());
        self.lead.extend(chunk.iter().take(room));
        if self.kind == Kind::Json {
            return name(&self.lead);
        }
        let lines = self.lead.split(|byte| matches!(byte, b'\n' | b'\r'));
        let data =
            lines.filter_map(|line| line.strip_prefix(b"data:").or_else(|| plain(self.kind, line)));
        data.filter_map(name).next()
    }

    /// True if the name can't come any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lead.len() >= LEAD_BYTES_MAX
    }
}

/// Returns a line of a form that has a document in each.
fn plain(kind: Kind, line: &[u8]) -> Option<&[u8]> {
    (kind == Kind::Lines).then_some(line)
}

/// Finds the name in a document, of which the end may be missing.
fn name(json: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_u32;
    let mut member: &[u8] = b"";
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let (text, end) = string(json, at)?;
                at = end;
                let Some(value) = behind_colon(json, at) else { continue };
                let is_name = text == NAME && (depth == 1 || (depth == 2 && member == RESPONSE));
                if is_name && json.get(value) == Some(&b'"') {
                    return string(json, value + 1).map(|(name, _)| name);
                }
                if depth == 1 {
                    member = text;
                }
            }
            _ => (),
        }
    }
    None
}

/// Reads a string from behind its first quote. Returns it and the place behind the last.
fn string(json: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let mut at = start;
    loop {
        match json.get(at)? {
            b'"' => return Some((json.get(start..at)?, at + 1)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Returns the place of the value behind a key; `None` behind any other string.
fn behind_colon(json: &[u8], at: usize) -> Option<usize> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let skip =
        |at: usize| Some(at + json.get(at..)?.iter().take_while(|byte| is_space(byte)).count());
    let colon = skip(at)?;
    (json.get(colon) == Some(&b':')).then(|| skip(colon + 1))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: Kind, answer: &str) -> Option<String> {
        // Wherever it is cut.
        let whole = |at: usize| {
            let mut made = MadeName::new(kind).unwrap();
            let (front, back) = answer.as_bytes().split_at(at);
            let early = made.push(front).map(<[u8]>::to_vec);
            early.or_else(|| made.push(back).map(<[u8]>::to_vec))
        };
        let all: Vec<_> = (0..=answer.len()).map(whole).collect();
        assert!(all.iter().all(|it| *it == all[0]), "{answer}");
        all[0].clone().map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn the_name_of_a_document_is_at_its_root() {
        for (answer, expected) in [
            (r#"{"id":"resp_1","object":"response"}"#, Some("resp_1")),
            (
                r#"{ "output":[{"id":"msg_1"}], "x":"\"id\":\"no\"", "id" : "resp_2" }"#,
                Some("resp_2"),
            ),
            (r#"{"response":{"id":"resp_3"}}"#, Some("resp_3")),
            (r#"{"error":{"id":"no"},"id":7}"#, None),
            (r#"["id","x"]"#, None),
            ("", None),
            (r#"{"id":"cut"#, None),
        ] {
            assert_eq!(found(Kind::Json, answer).as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn the_name_of_a_stream_is_in_an_early_event() {
        let events = ": hello\n\nevent: response.created\r\ndata: {\"sequence_number\":0,\"type\":\"response.created\",\
            \"response\":{\"object\":\"response\",\"id\":\"resp_9\",\"output\":[{\"id\":\"x\"}]}}\n\n";
        assert_eq!(found(Kind::Events, events).as_deref(), Some("resp_9"));
        assert_eq!(found(Kind::Events, "data: [DONE]\n\n"), None);
        let long = format!("data: {{\"x\":\"{}\",\"id\":\"late\"}}\n", "y".repeat(LEAD_BYTES_MAX));
        let mut made = MadeName::new(Kind::Events).unwrap();
        assert_eq!(made.push(long.as_bytes()), None);
        assert!(made.is_over());
        assert!(MadeName::new(Kind::Other).is_none());
    }
}
