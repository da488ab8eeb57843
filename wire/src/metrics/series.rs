//! Lines of a metrics page: labels and a value.

use std::borrow::Cow;

/// Series without its name.
pub(super) struct Series<'a> {
    labels: &'a [u8],
    /// Value, which is finite: NaN and infinities, which an engine shows before its first step, say
    /// nothing.
    pub(super) value: f64,
}

impl<'a> Series<'a> {
    /// Reads the rest of a line behind the name: `{a="b",…} 1.0 1700000000000 # {c="d"} 2`, where
    /// labels, timestamp and exemplar are optional. `None` for anything else.
    pub(super) fn parse(rest: &'a [u8]) -> Option<Self> {
        let (labels, rest) = match rest.strip_prefix(b"{") {
            Some(inside) => {
                let mut labels = SeriesLabels(inside);
                labels.by_ref().for_each(drop);
                let rest = labels.0.strip_prefix(b"}")?;
                (inside.get(..inside.len() - labels.0.len())?, rest)
            }
            None => (<&[u8]>::default(), rest),
        };
        let value = str::from_utf8(rest).ok()?.split_ascii_whitespace().next()?;
        let value = value.parse::<f64>().ok().filter(|value| value.is_finite())?;
        Some(Self { labels, value })
    }

    /// Returns the value of the label `name`, its escapes resolved.
    pub(super) fn label(&self, name: &[u8]) -> Option<Cow<'a, [u8]>> {
        let (_, raw) = SeriesLabels(self.labels).find(|(label, _)| *label == name)?;
        Some(unescape(raw))
    }
}

/// Labels at the head of some text, as written; ends at the first thing that is none. A comma or a
/// brace within a value does not end it.
struct SeriesLabels<'a>(&'a [u8]);

impl<'a> Iterator for SeriesLabels<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_ascii_start();
        // Behind the closing brace an exemplar may follow, which has labels of its own.
        if text.starts_with(b"}") {
            return None;
        }
        let (name, value) = text.split_at_checked(memchr::memchr(b'=', text)?)?;
        let value = value.strip_prefix(b"=")?.trim_ascii_start().strip_prefix(b"\"")?;
        let (value, rest) = value.split_at_checked(closing_quote(value)?)?;
        let rest = rest.strip_prefix(b"\"")?.trim_ascii_start();
        self.0 = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        Some((name.trim_ascii_end(), value))
    }
}

/// Returns the index of the first quote that no backslash escapes.
fn closing_quote(value: &[u8]) -> Option<usize> {
    let mut found = memchr::memchr2_iter(b'"', b'\\', value);
    loop {
        let at = found.next()?;
        if value.get(at) == Some(&b'"') {
            return Some(at);
        }
        // The next byte is escaped: if it is one of the two, it is no mark.
        if matches!(value.get(at + 1), Some(b'"' | b'\\')) {
            found.next()?;
        }
    }
}

/// Resolves `\\`, `\"` and `\n`, the escapes of the text format.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut bytes = raw.iter().copied();
    let mut out = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(escaped) => escaped,
                None => byte,
            },
            _ => byte,
        });
    }
    Cow::Owned(out)
}
