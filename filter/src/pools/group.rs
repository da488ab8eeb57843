//! Pools with one rule for a request's headers, and what is done to the headers of a request before its body tells which of
//! them it is for.

use std::collections::BTreeSet;

use wire::config::MatchGroup;

use crate::{checked::CheckedPool, pool};

/// The needs of the pools of one group.
pub(super) struct Group {
    /// Headers that plugins of any pool go by, in lower case.
    pub(super) header_names: Vec<String>,
    /// Headers with the session tokens of any pool.
    pub(super) token_headers: Vec<String>,
    /// True if any pool charges tenants for output tokens.
    pub(super) charges: bool,
    /// Place of the first pool that tells its model server of a request's priority.
    pub(super) propagating: Option<usize>,
    /// Places of pools that read different bodies: one of those that read the same.
    pub(super) readers: Vec<usize>,
}

impl Group {
    /// Gathers the needs of a group's pools, which are numbered by their places in `checked`.
    pub(super) fn new(group: &MatchGroup, checked: &[CheckedPool]) -> Self {
        let pools = || {
            let places = group.members().iter();
            places.filter_map(|at| Some((*at, &*checked.get(*at)?.config)))
        };
        let schedulers = || pools().map(|(_, config)| &config.scheduler);
        let mut parsers = Vec::new();
        let mut readers = Vec::new();
        for (at, config) in pools() {
            if !parsers.contains(&&config.parsers) {
                parsers.push(&config.parsers);
                readers.push(at);
            }
        }
        Self {
            header_names: names(schedulers().flat_map(|it| it.header_names())),
            token_headers: names(schedulers().flat_map(picker_core::Config::token_headers)),
            charges: pools().any(|(_, config)| pool::charges(config)),
            propagating: pools().find(|(_, config)| config.propagate_priority).map(|(at, _)| at),
            readers,
        }
    }
}

/// Returns each of the names once.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(str::to_owned).collect()
}
