//! The headers of a request or a response, as Envoy hands them out.

use wire::names;

use super::remove_request_header;

/// Header names and raw values, in order, repeated names kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    pairs: Vec<(String, Vec<u8>)>,
    /// A bit for each length of a name that is there, modulo 64: most of the names that are looked for are not.
    lengths: u64,
}

impl Headers {
    /// Makes an empty list.
    pub(crate) const fn none() -> Self {
        Self { pairs: Vec::new(), lengths: 0 }
    }

    /// Makes a list of what Envoy handed out.
    pub(super) fn of(pairs: Vec<(String, Vec<u8>)>) -> Self {
        let lengths = pairs.iter().fold(0, |lengths, (name, _)| lengths | length_bit(name));
        Self { pairs, lengths }
    }

    /// Returns the last value of a header.
    #[inline]
    pub(crate) fn last(&self, name: &str) -> Option<&[u8]> {
        if self.lengths & length_bit(name) == 0 { None } else { self.search(name) }
    }

    #[inline(never)]
    fn search(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.pairs.iter().rev().find(|(key, _)| names::are_equal(key, name))?;
        Some(value)
    }

    /// True if the header is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// True if a header's name begins with this prefix.
    pub(crate) fn have_prefix(&self, prefix: &str) -> bool {
        self.pairs.iter().any(|(name, _)| name.starts_with(prefix))
    }

    /// Removes the headers of these names from the request, and from this list, so that nothing reads them
    /// afterwards. While Envoy still holds the headers only.
    pub(crate) fn strip<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            if self.has(name) {
                remove_request_header(name);
                self.forget([name]);
            }
        }
    }

    /// Removes the headers of these names from this list alone: nothing here reads them afterwards, and the request
    /// keeps them.
    pub(crate) fn forget<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            self.pairs.retain(|(key, _)| key != name);
        }
    }
}

/// Returns the bit of a name's length.
#[inline]
const fn length_bit(name: &str) -> u64 {
    1 << (name.len() & 63)
}
