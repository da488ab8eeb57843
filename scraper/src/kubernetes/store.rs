//! Objects of one kind, kept up to date by a watch.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::Value;
use tracing::warn;

use crate::peer::one_line;

/// Objects of one kind: four times the pods of a pool, and some thousand nodes more than a cluster
/// has.
const OBJECTS_MAX: usize = 16_384;

/// Objects by name. While they are listed again the old ones stay.
#[derive(Debug)]
pub(crate) struct Store<T> {
    kind: &'static str,
    /// True once the objects were listed.
    known: bool,
    objects: BTreeMap<String, T>,
    /// Objects of a list that is not complete yet.
    coming: BTreeMap<String, T>,
    /// Names of faulty objects that were logged: a watch brings them again and again. The empty
    /// name stands for the notice that there are too many objects.
    logged: BTreeSet<String>,
    /// Those of them that are on the list that is not complete yet: the others are gone.
    coming_logged: BTreeSet<String>,
}

impl<T: Clone> Store<T> {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            known: false,
            objects: BTreeMap::new(),
            coming: BTreeMap::new(),
            logged: BTreeSet::new(),
            coming_logged: BTreeSet::new(),
        }
    }

    /// Applies an event. An object for which `read` returns `None` is not kept; an object that
    /// `read` can't understand stays as it was, and is logged.
    pub(crate) fn take(
        &mut self,
        event: Event<DynamicObject>,
        read: impl Fn(&Value) -> Result<Option<T>, String>,
    ) {
        match event {
            Event::Init => {
                self.coming.clear();
                self.coming_logged.clear();
            }
            Event::InitApply(object) => {
                let (name, it) = self.read(object, read);
                let fits = put(&mut self.coming, &name, it);
                self.log_unless(fits);
                let told = [name, String::new()]
                    .into_iter()
                    .filter(|name| self.logged.contains(name) && !(name.is_empty() && fits));
                self.coming_logged.extend(told);
            }
            Event::InitDone => {
                self.objects = mem::take(&mut self.coming);
                self.known = true;
                self.logged = mem::take(&mut self.coming_logged);
            }
            Event::Apply(object) => {
                let (name, it) = self.read(object, read);
                let fits = put(&mut self.objects, &name, it);
                self.log_unless(fits);
            }
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.objects.remove(&name);
                self.logged.remove(&name);
            }
        }
    }

    fn read(
        &mut self,
        object: DynamicObject,
        read: impl Fn(&Value) -> Result<Option<T>, String>,
    ) -> (String, Option<T>) {
        let name = object.metadata.name.clone().unwrap_or_default();
        // An object that was read as JSON can be written as JSON.
        let value = serde_json::to_value(object).unwrap_or_default();
        let it = match read(&value) {
            Ok(it) => {
                self.logged.remove(&name);
                it
            }
            Err(why) => {
                self.log_fault(&name, &why);
                self.objects.get(&name).cloned()
            }
        };
        (name, it)
    }

    fn log_unless(&mut self, fits: bool) {
        // No object has the empty name.
        if !fits && self.logged.insert(String::new()) {
            warn!("there are more than {OBJECTS_MAX} of kind {}: some are left out", self.kind);
        }
    }

    /// Logs each faulty object once, until it is good or gone.
    fn log_fault(&mut self, name: &str, why: &str) {
        if !self.logged.contains(name) && self.logged.len() < OBJECTS_MAX {
            warn!("failed to read {} {}: {}", self.kind, one_line(name), one_line(why));
            self.logged.insert(name.to_owned());
        }
    }

    /// Records that there are no objects, as far as is known.
    pub(crate) fn set_empty(&mut self) {
        *self = Self { known: true, ..Self::new(self.kind) };
    }

    /// True once the objects were listed.
    pub(crate) const fn is_known(&self) -> bool {
        self.known
    }

    /// Iterates over the objects by ascending name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.objects.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.objects.get(name)
    }
}

/// Inserts or removes an object; false if there was no room for it.
fn put<T>(objects: &mut BTreeMap<String, T>, name: &str, it: Option<T>) -> bool {
    let Some(it) = it else {
        objects.remove(name);
        return true;
    };
    let fits = objects.len() < OBJECTS_MAX || objects.contains_key(name);
    if fits {
        objects.insert(name.to_owned(), it);
    }
    fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, good: bool) -> DynamicObject {
        let object = json!({"metadata": {"name": name}, "good": good});
        serde_json::from_value(object).unwrap()
    }

    fn store() -> Store<()> {
        Store::new("Thing")
    }

    fn take(store: &mut Store<()>, event: Event<DynamicObject>) {
        store.take(event, |it| match it["good"] == true {
            true => Ok(Some(())),
            false => Err("it is bad".to_owned()),
        });
    }

    #[test]
    fn old_objects_stay_until_the_new_list_is_whole() {
        let mut store = store();
        let names =
            |store: &Store<()>| store.iter().map(|(name, ())| name.clone()).collect::<String>();
        take(&mut store, Event::InitApply(object("a", true)));
        assert!(!store.is_known() && names(&store).is_empty());
        take(&mut store, Event::InitDone);
        take(&mut store, Event::Apply(object("b", true)));
        assert!(store.is_known() && names(&store) == "ab");
        take(&mut store, Event::Init);
        take(&mut store, Event::InitApply(object("c", true)));
        assert_eq!(names(&store), "ab");
        take(&mut store, Event::InitDone);
        assert_eq!(names(&store), "c");
        take(&mut store, Event::Apply(object("c", false)));
        take(&mut store, Event::InitApply(object("c", false)));
        take(&mut store, Event::InitDone);
        assert_eq!(names(&store), "c", "what can't be understood any more stays as it was");
        take(&mut store, Event::Delete(object("c", false)));
        assert_eq!(names(&store), "");
    }

    #[test]
    fn of_a_bad_object_that_went_while_nothing_was_watched_a_later_one_is_told() {
        let mut store = store();
        for names in [["a", "b"].as_slice(), &["b"]] {
            take(&mut store, Event::Init);
            for name in names {
                take(&mut store, Event::InitApply(object(name, false)));
            }
            take(&mut store, Event::InitDone);
            assert_eq!(store.logged.iter().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_bad_object_is_told_of_once_and_a_flood_is_bounded() {
        let mut store = store();
        for _ in 0..2 {
            take(&mut store, Event::Apply(object("a", false)));
            assert_eq!(store.logged.len(), 1);
        }
        take(&mut store, Event::Apply(object("a", true)));
        assert_eq!(store.logged.len(), 0);
        for number in 0..OBJECTS_MAX {
            take(&mut store, Event::Apply(object(&number.to_string(), true)));
        }
        assert_eq!((store.iter().count(), store.logged.len()), (OBJECTS_MAX, 1));
    }
}
