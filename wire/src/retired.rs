//! The pools that no configuration has any more, in shared data: a line for each, with the time in front.

use picker_core::Instant;

/// Pool that was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredPool {
    /// Name of the pool.
    pub name: String,
    /// Time at which it was taken away, by Envoy's clock.
    pub since: Instant,
}

/// Returns the bytes that [`decode`] reads.
#[must_use]
pub fn encode(pools: &[RetiredPool]) -> Vec<u8> {
    let line = |pool: &RetiredPool| format!("{} {}\n", pool.since.as_nanos(), pool.name);
    pools.iter().map(line).collect::<String>().into_bytes()
}

/// Reads the pools; a line that makes no sense is passed over.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<RetiredPool> {
    let read = |line: &str| {
        let (since, name) = line.split_once(' ')?;
        let since = Instant::from_nanos(since.parse().ok()?);
        Some(RetiredPool { name: name.to_owned(), since })
    };
    str::from_utf8(bytes).unwrap_or_default().lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_read_back_and_other_lines_are_passed_over() {
        let pool =
            |name: &str| RetiredPool { name: name.to_owned(), since: Instant::from_nanos(7) };
        let pools = [pool("a"), pool("b.c-d")];
        assert_eq!(decode(&encode(&pools)), pools);
        assert_eq!(decode(b"x a\n7\n7 a\n"), pools[..1]);
        assert_eq!(decode(b"\xff"), []);
    }
}
