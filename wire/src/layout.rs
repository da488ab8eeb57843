//! The keys of the values that the workers of one Envoy share, per pool.
//!
//! While a new module takes the place of an old one, VMs of both serve side by side. A ledger that one of
//! them cannot read would look empty to it, and its first change would empty it for the other. So each key
//! has the versions of all values together: modules of equal layouts share everything, and others nothing.

use crate::{
    exchange, heartbeat, ledger, message, placement_event, pull, queues, shared_snapshot, snapshot,
    tally,
};

/// Versions of all values, each a digit. The ledger counts snapshots and events and its members lead to
/// heartbeats, so no value can be shared without the others.
const VERSIONS: [u8; 13] = [
    b'v',
    digit(ledger::VERSION),
    digit(heartbeat::VERSION),
    digit(tally::VERSION),
    digit(shared_snapshot::VERSION),
    digit(snapshot::FRAME.version),
    digit(placement_event::FRAME.version),
    digit(queues::FRAME.version),
    digit(pull::VERSION),
    digit(message::FRAME.version),
    digit(exchange::SHARED_VERSION),
    digit(exchange::PART_FRAME.version),
    b'.',
];

/// Mark of the layouts in every key, as in `v78517841511.`.
pub const LAYOUT: &str = match str::from_utf8(&VERSIONS) {
    Ok(text) => text,
    Err(_) => "",
};

/// Bytes that are appended to a key: a worker's number and a chunk's at most.
const MORE: usize = 27;

/// Returns the key of a pool's value. A caller may append a number.
#[must_use]
pub fn key(pool: &str, what: &str) -> String {
    let parts = ["llm-picker/", pool, "/", LAYOUT, "/", what];
    let mut key = String::with_capacity(parts.map(str::len).iter().sum::<usize>() + MORE);
    key.extend(parts);
    key
}

/// Returns the key of a value of all pools together. No pool has an empty name. A caller may append a number.
#[must_use]
pub fn common_key(what: &str) -> String {
    key("", what)
}

const fn digit(version: u8) -> u8 {
    assert!(version < 36, "a version is one digit or letter");
    if version < 10 { b'0' + version } else { b'a' + version - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_pool_layouts_and_value() {
        insta::assert_snapshot!(key("default", "ledger"), @"llm-picker/default/v78517841511./ledger");
        assert_eq!([digit(0), digit(9), digit(10), digit(35)], *b"09az");
    }
}
