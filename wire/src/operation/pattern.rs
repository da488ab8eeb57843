//! The pattern of an operation's path: whole parts at its end, whatever base path stands in front.

use std::ops::Range;

/// Parts at the end of a path, between slashes. A part may be `{name}`, which stands for any, or
/// `{model}:verb`, of which only the end is given. `{model}` as the last part stands for all that
/// follows, as names of models have slashes in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: &'static str,
    /// Bytes at the end of the text without a placeholder.
    tail: usize,
    /// Bytes of the shortest path that fits: a slash, the text, and one byte for each placeholder.
    least: usize,
}

/// A path that fits a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Place of the model in the path, if the pattern has one.
    pub(super) model: Option<Range<usize>>,
    /// Place of the name of what a pod keeps, if the pattern has one.
    pub(super) id: Option<Range<usize>>,
}

const MODEL: &str = "{model}";
const ID: &str = "{id}";

impl Pattern {
    /// Makes a pattern. Evaluated by the compiler, so that no request pays for it.
    #[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, and would say so")]
    pub(super) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut tail = 0;
        while tail < bytes.len() && bytes[bytes.len() - 1 - tail] != b'}' {
            tail += 1;
        }
        let (mut least, mut at, mut is_inside) = (1, 0, false);
        while at < bytes.len() {
            is_inside = bytes[at] == b'{' || (is_inside && bytes[at] != b'}');
            least += !is_inside as usize;
            at += 1;
        }
        Self { text, tail, least }
    }

    pub(super) const fn text(self) -> &'static str {
        self.text
    }

    /// Finds the pattern at the end of a path.
    #[inline]
    pub(super) fn find(self, path: &[u8]) -> Option<Found> {
        // A model in front of the same words is what most requests have not: their path is too short for it.
        if path.len() < self.least {
            return None;
        }
        let text = self.text.as_bytes();
        let tail = text.get(text.len() - self.tail..).unwrap_or_default();
        // Most patterns end here: their last byte is another one.
        if tail.last().is_some_and(|last| path.last() != Some(last)) || !path.ends_with(tail) {
            return None;
        }
        if tail.len() < text.len() {
            return self.find_parts(path);
        }
        let front = path.len() - tail.len();
        (front > 0 && path.get(front - 1) == Some(&b'/')).then(Found::default)
    }

    fn find_parts(self, path: &[u8]) -> Option<Found> {
        if let Some(head) = self.text.strip_suffix(MODEL) {
            return last_part(path, head.as_bytes());
        }
        let mut all = Found::default();
        let mut end = path.len();
        for part in self.text.rsplit('/') {
            let before = path.get(..end)?;
            let start = before.iter().rposition(|byte| *byte == b'/')? + 1;
            let found = path.get(start..end)?;
            let name = match part.split_once('}') {
                Some((_, rest)) => found.strip_suffix(rest.as_bytes()).filter(|it| !it.is_empty()),
                None => (found == part.as_bytes()).then_some(found),
            }?;
            let place = Some(start..start + name.len());
            if part.starts_with(MODEL) {
                all.model = place;
            } else if part == ID {
                all.id = place;
            }
            end = start.checked_sub(1)?;
        }
        Some(all)
    }
}

/// Finds a model behind `head`, up to the end of the path.
fn last_part(path: &[u8], head: &[u8]) -> Option<Found> {
    let at = memchr::memmem::find(path, head)?;
    let start = at + head.len();
    let is_part = at > 0 && path.get(at - 1) == Some(&b'/');
    (is_part && start < path.len()).then_some(Found { model: Some(start..path.len()), id: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &'static str, path: &str) -> Option<String> {
        let found = Pattern::new(pattern).find(path.as_bytes())?;
        Some(found.model.map_or_else(String::new, |model| path[model].to_owned()))
    }

    #[test]
    fn whole_parts_fit() {
        let generate = |path| find("generate", path);
        assert_eq!(generate("/generate").as_deref(), Some(""));
        assert_eq!(generate("/team/a/generate").as_deref(), Some(""));
        for path in ["/v1/regenerate", "/generate/x", "generate", "", "/generates", "/Generate"] {
            assert_eq!(generate(path), None, "{path}");
        }
    }

    #[test]
    fn the_shortest_path_that_fits_is_known() {
        for (pattern, shortest) in [
            ("generate", "/generate"),
            ("v2/models/{model}/infer", "/v2/models/m/infer"),
            ("v2/models/{model}/versions/{version}/infer", "/v2/models/m/versions/1/infer"),
            ("models/{model}:countTokens", "/models/m:countTokens"),
            ("v1/models/{model}", "/v1/models/m"),
        ] {
            assert_eq!(Pattern::new(pattern).least, shortest.len(), "{pattern}");
            assert!(find(pattern, shortest).is_some(), "{pattern}");
        }
    }

    #[test]
    fn placeholders_stand_for_a_part() {
        let triton = |path| find("v2/models/{model}/versions/{version}/generate", path);
        assert_eq!(triton("/x/v2/models/llama/versions/1/generate").as_deref(), Some("llama"));
        assert_eq!(triton("/v2/models/llama/generate"), None);
        assert_eq!(triton("/v2/models//versions/1/generate"), None);
        let gemini = |path| find("models/{model}:generateContent", path);
        assert_eq!(gemini("/v1beta/models/g-2:b:generateContent").as_deref(), Some("g-2:b"));
        assert_eq!(gemini("/v1beta/models/:generateContent"), None);
        let named = |path| find("v1/models/{model}", path);
        assert_eq!(named("/a/v1/models/org/llama").as_deref(), Some("org/llama"));
        assert_eq!((named("/v1/models/"), named("/v1/models")), (None, None));
        assert_eq!(named("/xv1/models/m"), None);
    }
}
