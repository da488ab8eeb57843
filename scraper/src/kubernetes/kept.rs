//! Objects of one kind, kept as a watch tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use kube::{api::DynamicObject, runtime::watcher::Event};
use serde_json::Value;
use tracing::warn;

use crate::codec;

/// Objects of one kind: four times the pods of a pool, and some thousand nodes more than a cluster
/// has.
const OBJECTS_MAX: usize = 16_384;

/// Objects by name. While they are listed again the old ones stay.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    kind: &'static str,
    /// Whether they were ever listed.
    known: bool,
    objects: BTreeMap<String, T>,
    coming: BTreeMap<String, T>,
    /// Of which objects it was told that something is wrong: a watch brings them again and again.
    told: BTreeSet<String>,
}

impl<T: Clone> Kept<T> {
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            known: false,
            objects: BTreeMap::new(),
            coming: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Takes in an event. An object that `read` makes nothing of is not kept; one that it can't
    /// understand stays as it was, and is told of.
    pub(crate) fn take(
        &mut self,
        event: Event<DynamicObject>,
        read: impl Fn(&Value) -> Result<Option<T>, String>,
    ) {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => {
                let (name, it) = self.read(object, read);
                let fits = put(&mut self.coming, &name, it);
                self.tell_unless(fits);
            }
            Event::InitDone => {
                self.objects = mem::take(&mut self.coming);
                self.known = true;
            }
            Event::Apply(object) => {
                let (name, it) = self.read(object, read);
                let fits = put(&mut self.objects, &name, it);
                self.tell_unless(fits);
            }
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.objects.remove(&name);
                self.told.remove(&name);
            }
        }
    }

    fn read(
        &mut self,
        object: DynamicObject,
        read: impl Fn(&Value) -> Result<Option<T>, String>,
    ) -> (String, Option<T>) {
        let name = object.metadata.name.clone().unwrap_or_default();
        // What was read as JSON can be written as such.
        let value = serde_json::to_value(object).unwrap_or_default();
        let it = match read(&value) {
            Ok(it) => {
                self.told.remove(&name);
                it
            }
            Err(why) => {
                self.tell(&name, format!("makes no sense: {}", codec::one_line(&why)));
                self.objects.get(&name).cloned()
            }
        };
        (name, it)
    }

    fn tell_unless(&mut self, fits: bool) {
        // No object is without a name.
        if !fits && self.told.insert(String::new()) {
            warn!("there are more than {OBJECTS_MAX} of kind {}: some are left out", self.kind);
        }
    }

    /// Each object once, until it is good or gone.
    fn tell(&mut self, name: &str, why: String) {
        if !self.told.contains(name) && self.told.len() < OBJECTS_MAX {
            warn!("{} {} {why}", self.kind, codec::one_line(name));
            self.told.insert(name.to_owned());
        }
    }

    /// There are none, as far as is known.
    pub(crate) fn none(&mut self) {
        *self = Self { known: true, ..Self::new(self.kind) };
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

/// Whether there was room for it.
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

    fn kept() -> Kept<()> {
        Kept::new("Thing")
    }

    fn take(kept: &mut Kept<()>, event: Event<DynamicObject>) {
        kept.take(event, |it| match it["good"] == true {
            true => Ok(Some(())),
            false => Err("it is bad".to_owned()),
        });
    }

    #[test]
    fn old_objects_stay_until_the_new_list_is_whole() {
        let mut kept = kept();
        let names =
            |kept: &Kept<()>| kept.iter().map(|(name, ())| name.clone()).collect::<String>();
        take(&mut kept, Event::InitApply(object("a", true)));
        assert!(!kept.is_known() && names(&kept).is_empty());
        take(&mut kept, Event::InitDone);
        take(&mut kept, Event::Apply(object("b", true)));
        assert!(kept.is_known() && names(&kept) == "ab");
        take(&mut kept, Event::Init);
        take(&mut kept, Event::InitApply(object("c", true)));
        assert_eq!(names(&kept), "ab");
        take(&mut kept, Event::InitDone);
        assert_eq!(names(&kept), "c");
        take(&mut kept, Event::Apply(object("c", false)));
        take(&mut kept, Event::InitApply(object("c", false)));
        take(&mut kept, Event::InitDone);
        assert_eq!(names(&kept), "c", "what can't be understood any more stays as it was");
        take(&mut kept, Event::Delete(object("c", false)));
        assert_eq!(names(&kept), "");
    }

    #[test]
    fn a_bad_object_is_told_of_once_and_a_flood_is_bounded() {
        let mut kept = kept();
        for _ in 0..2 {
            take(&mut kept, Event::Apply(object("a", false)));
            assert_eq!(kept.told.len(), 1);
        }
        take(&mut kept, Event::Apply(object("a", true)));
        assert_eq!(kept.told.len(), 0);
        for number in 0..OBJECTS_MAX {
            take(&mut kept, Event::Apply(object(&number.to_string(), true)));
        }
        assert_eq!((kept.iter().count(), kept.told.len()), (OBJECTS_MAX, 1));
    }
}
