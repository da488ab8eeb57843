//! Objects of a kind that two API groups have.

use std::collections::BTreeMap;

use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::Value;

use crate::kubernetes::Store;

/// A store for each API group, by the positions of [`wire::kubernetes::GROUPS`].
#[derive(Debug)]
pub(super) struct Groups<T>([Store<T>; 2]);

impl<T: Clone> Groups<T> {
    pub(super) const fn new(kind: &'static str) -> Self {
        Self([Store::new(kind), Store::new(kind)])
    }

    /// Applies an event of one group.
    pub(super) fn take(
        &mut self,
        group: usize,
        event: Event<DynamicObject>,
        read: impl Fn(&Value) -> Result<T, String>,
    ) {
        if let Some(store) = self.0.get_mut(group) {
            store.take(event, |it| read(it).map(Some));
        }
    }

    /// Records that the cluster does not have the group.
    pub(super) fn set_empty(&mut self, group: usize) {
        self.0.get_mut(group).into_iter().for_each(Store::set_empty);
    }

    /// True once this group was listed.
    pub(super) fn knows(&self, group: usize) -> bool {
        self.0.get(group).is_some_and(Store::is_known)
    }

    /// True once both groups were listed.
    pub(super) fn is_known(&self) -> bool {
        self.0.iter().all(Store::is_known)
    }

    /// Returns the objects for which `wanted` holds, by name; the newer group's object takes
    /// precedence over the older group's of the same name.
    pub(super) fn merged(&self, wanted: impl Fn(&T) -> bool) -> Vec<&T> {
        let mut all = BTreeMap::new();
        for (name, it) in self.0.iter().flat_map(Store::iter).filter(|(_, it)| wanted(it)) {
            all.entry(name).or_insert(it);
        }
        all.into_values().collect()
    }
}
