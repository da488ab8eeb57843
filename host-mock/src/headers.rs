//! A header map as Envoy keeps it: lower-case names, raw bytes, duplicates, insertion order.

/// Header names and values in the order in which they were added.
///
/// Values are bytes: clients may send anything but CR, LF and NUL, and a filter that assumes UTF-8
/// dies of it, which is worth testing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderMap(Vec<(String, Vec<u8>)>);

impl HeaderMap {
    /// Returns a map without headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the first value of `name`, which is the one that proxy-wasm shows.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// Returns the first value of `name` as text; `None` also when it isn't UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns every value of `name`, in order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let name = name.to_ascii_lowercase();
        self.0.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v.as_slice())
    }

    /// Appends a value, keeping those that are there.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let entry = (name.to_ascii_lowercase(), value.into());
        // Envoy keeps pseudo headers in front, whenever they were added.
        let at = match entry.0.starts_with(':') {
            true => self.0.iter().take_while(|(n, _)| n.starts_with(':')).count(),
            false => self.0.len(),
        };
        self.0.insert(at, entry);
    }

    /// Leaves `value` as the only value of `name`.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(n, _)| *n != name);
    }

    /// Returns all pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Returns the number of pairs.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are no pairs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bytes of all names and values, as `proxy_get_header_map_size` counts them.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        for (name, value) in pairs {
            map.add(name.as_ref(), value);
        }
        map
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>> + Clone> From<&[(N, V)]> for HeaderMap {
    fn from(pairs: &[(N, V)]) -> Self {
        pairs.iter().map(|(name, value)| (name.as_ref(), value.clone())).collect()
    }
}

impl<N: AsRef<str>, V: Into<Vec<u8>> + Clone, const COUNT: usize> From<&[(N, V); COUNT]>
    for HeaderMap
{
    fn from(pairs: &[(N, V); COUNT]) -> Self {
        Self::from(pairs.as_slice())
    }
}

/// Makes an empty map, for a request that needs no headers.
impl From<()> for HeaderMap {
    fn from((): ()) -> Self {
        Self::new()
    }
}

/// Shows a map with escaped values: readable in a failed assertion.
impl std::fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs = self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(pairs).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_order_are_kept_and_pseudo_headers_come_first() {
        let mut map = HeaderMap::from(&[("X-A", "1"), ("x-b", "2"), ("x-a", "3"), (":path", "/")]);
        let names: Vec<_> = map.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, [":path", "x-a", "x-b", "x-a"]);
        map.set("x-a", *b"caf\xe9");
        assert_eq!(map.get_all("X-A").collect::<Vec<_>>(), [b"caf\xe9"]);
        assert_eq!(map.text("x-a"), None);
    }
}
