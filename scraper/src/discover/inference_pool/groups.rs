//! Objects of a kind that two API groups have.

use std::collections::BTreeMap;

use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::Value;

use crate::kubernetes::Kept;

/// By the positions of [`wire::kubernetes::GROUPS`].
#[derive(Debug)]
pub(super) struct Groups<T>([Kept<T>; 2]);

impl<T: Clone> Groups<T> {
    pub(super) const fn new(kind: &'static str) -> Self {
        Self([Kept::new(kind), Kept::new(kind)])
    }

    pub(super) fn take(
        &mut self,
        group: usize,
        event: Event<DynamicObject>,
        read: impl Fn(&Value) -> Result<T, String>,
    ) {
        if let Some(kept) = self.0.get_mut(group) {
            kept.take(event, |it| read(it).map(Some));
        }
    }

    /// The cluster does not have the group.
    pub(super) fn none(&mut self, group: usize) {
        self.0.get_mut(group).into_iter().for_each(Kept::none);
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.iter().all(Kept::is_known)
    }

    /// Those of which `wanted` holds, by name; the newer group's comes before the older one's.
    pub(super) fn merged(&self, wanted: impl Fn(&T) -> bool) -> Vec<&T> {
        let mut all = BTreeMap::new();
        for (name, it) in self.0.iter().flat_map(Kept::iter).filter(|(_, it)| wanted(it)) {
            all.entry(name).or_insert(it);
        }
        all.into_values().collect()
    }
}
