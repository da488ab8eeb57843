//! The renamer of a response's model: it puts the name that the client asked for in the place of
//! the model's own.
//!
//! Only `"model"` with exactly that name as its value is a match; within a JSON string the quotes
//! would be escaped, so that no text of the model's can look like one. A chunk may end anywhere:
//! the possible beginning of a match is kept until the next, and nothing else is.

use crate::body::MODEL_KEY_JSON;

/// Blanks that a serialiser puts around a colon, and a person with a text editor too.
const BLANKS_MAX: usize = 16;

/// Renamer of one model to another.
#[derive(Clone, Debug)]
pub struct Renamer {
    /// Name to be found, as a JSON string.
    found: Vec<u8>,
    /// Name to be put there, as a JSON string.
    put: Vec<u8>,
    /// Possible beginning of a match.
    held: Vec<u8>,
    stage: Stage,
}

/// Progress of a match. Numbers are bytes of the part that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Key(usize),
    Colon(usize),
    Value(usize, usize),
}

const KEY: &[u8] = MODEL_KEY_JSON.as_bytes();

impl Renamer {
    /// Returns a renamer of `found` to `put`.
    #[must_use]
    pub fn new(found: &str, put: &str) -> Self {
        // Text always serialises.
        let json = |name: &str| serde_json::to_vec(name).unwrap_or_default();
        Self { found: json(found), put: json(put), held: Vec::new(), stage: Stage::Key(0) }
    }

    /// Returns the chunk with names changed; `None` where it passes as it is. At the end of the
    /// body nothing is kept.
    pub fn push(&mut self, chunk: &[u8], is_end: bool) -> Option<Vec<u8>> {
        let held_before = self.held.len();
        let mut out = Vec::new();
        // Number of the chunk's bytes that are in `out` or in `held` already. Never behind `at`:
        // each byte goes on exactly once.
        let mut taken = 0;
        let mut at = 0;
        let mut changed = held_before > 0;
        while let Some(byte) = chunk.get(at) {
            if self.stage == Stage::Key(0) {
                // Nothing is under way: on to the next quote at once.
                let rest = chunk.get(at..).unwrap_or_default();
                let Some(skip) = memchr::memchr(b'"', rest) else { break };
                at += skip;
                out.extend_from_slice(chunk.get(taken..at).unwrap_or_default());
                self.stage = Stage::Key(1);
                self.held.push(b'"');
                at += 1;
                taken = at;
                continue;
            }
            match self.step(*byte) {
                Step::On => {
                    self.held.push(*byte);
                    at += 1;
                    taken = at;
                }
                Step::Match => {
                    changed = true;
                    let keep = self.held.len() + 1 - self.found.len();
                    out.extend_from_slice(self.held.get(..keep).unwrap_or_default());
                    out.extend_from_slice(&self.put);
                    self.held.clear();
                    self.stage = Stage::Key(0);
                    at += 1;
                    taken = at;
                }
                // The byte may begin another one: it is looked at again.
                Step::Not => {
                    out.append(&mut self.held);
                    self.stage = Stage::Key(0);
                }
            }
        }
        out.extend_from_slice(chunk.get(taken..).unwrap_or_default());
        if is_end {
            out.append(&mut self.held);
        }
        (changed || !self.held.is_empty()).then_some(out)
    }

    /// Takes a byte into the match that is under way.
    fn step(&mut self, byte: u8) -> Step {
        let blank = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let next = match self.stage {
            Stage::Key(seen) if KEY.get(seen) == Some(&byte) => match seen + 1 {
                seen if seen == KEY.len() => Stage::Colon(0),
                seen => Stage::Key(seen),
            },
            Stage::Colon(blanks) if blank && blanks < BLANKS_MAX => Stage::Colon(blanks + 1),
            Stage::Colon(_) if byte == b':' => Stage::Value(0, 0),
            Stage::Value(0, blanks) if blank && blanks < BLANKS_MAX => Stage::Value(0, blanks + 1),
            Stage::Value(seen, blanks) if self.found.get(seen) == Some(&byte) => {
                if seen + 1 == self.found.len() {
                    return Step::Match;
                }
                Stage::Value(seen + 1, blanks)
            }
            Stage::Key(_) | Stage::Colon(_) | Stage::Value(..) => return Step::Not,
        };
        self.stage = next;
        Step::On
    }
}

/// Outcome of a byte for a match.
enum Step {
    On,
    Match,
    Not,
}

#[cfg(test)]
mod tests {
    use super::Renamer;

    fn renamed(chunks: &[&str]) -> String {
        let mut renamer = Renamer::new("llama", "gpt \"4\"");
        let mut out = String::new();
        let last = chunks.len() - 1;
        for (index, chunk) in chunks.iter().enumerate() {
            let piece = renamer.push(chunk.as_bytes(), index == last);
            out.push_str(
                &piece.map_or_else(|| (*chunk).to_owned(), |it| String::from_utf8(it).unwrap()),
            );
        }
        out
    }

    const BODY: &str = r#"{"id":"x","model" :
        "llama","model":"llama2","a":"\"model\":\"llama\"","""model":"llama","models":["llama"]}"#;

    #[test]
    fn the_name_is_changed_wherever_a_chunk_ends() {
        let whole = renamed(&[BODY]);
        let expected = BODY.replacen("\"llama\"", "\"gpt \\\"4\\\"\"", 1).replacen(
            "\"\"model\":\"llama\"",
            "\"\"model\":\"gpt \\\"4\\\"\"",
            1,
        );
        assert_eq!(whole, expected);
        for one in 0..BODY.len() {
            for two in one..BODY.len() {
                let chunks = [&BODY[..one], &BODY[one..two], &BODY[two..]];
                assert_eq!(renamed(&chunks), expected, "cut at {one} and {two}");
            }
        }
        let bytes: Vec<&str> = (0..BODY.len()).map(|at| &BODY[at..=at]).collect();
        assert_eq!(renamed(&bytes), expected);
    }

    /// The law that no token waits for the next: all is passed on but what may become a match.
    #[test]
    fn nothing_is_held_but_a_beginning() {
        let held = |text: &str| {
            let mut renamer = Renamer::new("llama", "x");
            let out = renamer.push(text.as_bytes(), false);
            text.len() - out.map_or(text.len(), |out| out.len())
        };
        assert_eq!(held("data: {\"a\":1}\n\n"), 0);
        assert_eq!(held("text \"mod"), 4);
        assert_eq!(held("text \"mode \"model\": "), 9);
        assert_eq!(held("\"model\":\"llam"), 13);
        assert_eq!(held("\"model\":\"llamb"), 0);
        assert_eq!(held(&format!("\"model\"{}", " ".repeat(40))), 0);
        let mut renamer = Renamer::new("llama", "x");
        assert_eq!(renamer.push(b"\"mod", false).as_deref(), Some(&b""[..]));
        assert_eq!(renamer.push(b"", true).as_deref(), Some(&b"\"mod"[..]), "at the end all goes");
    }

    #[test]
    fn a_chunk_without_a_name_is_not_even_copied() {
        let mut renamer = Renamer::new("llama", "x");
        assert_eq!(renamer.push(b"data: {\"choices\":[{\"delta\":{}}]}\n\n", false), None);
        assert_eq!(renamer.push(b"", true), None);
    }
}
