//! Objects of one kind, kept as a watch tells.

use std::{collections::BTreeMap, mem};

use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::Value;

/// Objects by name. While they are listed again the old ones stay.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    /// Whether they were ever listed.
    known: bool,
    objects: BTreeMap<String, T>,
    coming: BTreeMap<String, T>,
}

impl<T> Kept<T> {
    pub(crate) const fn new() -> Self {
        Self { known: false, objects: BTreeMap::new(), coming: BTreeMap::new() }
    }

    /// Takes in an event; an object that `read` makes nothing of is not kept.
    pub(crate) fn take(&mut self, event: Event<DynamicObject>, read: impl Fn(&Value) -> Option<T>) {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => put(&mut self.coming, object, read),
            Event::InitDone => {
                self.objects = mem::take(&mut self.coming);
                self.known = true;
            }
            Event::Apply(object) => put(&mut self.objects, object, read),
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.objects.remove(&name);
            }
        }
    }

    /// There are none, as far as is known.
    pub(crate) fn none(&mut self) {
        *self = Self { known: true, ..Self::new() };
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.known
    }

    /// By ascending name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.objects.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.objects.get(name)
    }
}

fn put<T>(
    objects: &mut BTreeMap<String, T>,
    object: DynamicObject,
    read: impl Fn(&Value) -> Option<T>,
) {
    let name = object.metadata.name.clone().unwrap_or_default();
    // What was read as JSON can be written as such.
    let value = serde_json::to_value(object).unwrap_or_default();
    match read(&value) {
        Some(it) => drop(objects.insert(name, it)),
        None => drop(objects.remove(&name)),
    }
}
