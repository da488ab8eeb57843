//! Values in the configuration, each with the path that leads to it, which every error names.

mod list;

use std::time::Duration;

use serde_json::{Map, Value};

pub(super) use super::keys::Keys;
use super::{
    ConfigError, ConfigNote, duration,
    faults::{Faults, gather},
    quantity,
};

/// Value in the configuration, with the path that leads to it.
#[derive(Debug)]
pub struct At<'a> {
    path: String,
    value: &'a Value,
    /// Faults, where they are gathered; else the first one ends the reading.
    faults: Option<&'a Faults>,
}

/// Object with known keys only; without members where it is left out.
#[derive(Debug)]
pub struct Object<'a> {
    path: String,
    members: Option<&'a Map<String, Value>>,
    faults: Option<&'a Faults>,
}

impl<'a> At<'a> {
    /// Returns the root of a configuration of which the first fault ends the reading.
    #[must_use]
    pub fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value, faults: None }
    }

    /// Returns the root of a configuration of which all faults are gathered.
    pub(super) const fn gathering(value: &'a Value, faults: &'a Faults) -> Self {
        Self { path: String::new(), value, faults: Some(faults) }
    }

    fn child(&self, path: String, value: &'a Value) -> Self {
        Self { path, value, faults: self.faults }
    }

    /// Returns the error that the value is not what is `allowed`, as in "a whole number".
    pub fn refuse(&self, allowed: &str) -> ConfigError {
        self.problem(format!("must be {allowed}")).having(self.found())
    }

    /// Returns the error that the value is none of these names.
    pub fn refuse_name(&self, names: &[&str]) -> ConfigError {
        self.refuse("a known name").allowing(names)
    }

    /// Returns the error that the list has another number of items than `allowed`, as in
    /// "1 to 64".
    pub fn refuse_length(&self, found: usize, allowed: &str) -> ConfigError {
        self.problem(format!("must have {allowed}")).having(format!("of {found} items"))
    }

    /// Returns the error that the value breaks another rule, as in "must not stand beside pools".
    pub fn problem(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path.as_str(), problem)
    }

    /// Returns the value, short enough for a line in a log.
    pub(super) fn found(&self) -> String {
        match self.value {
            Value::Object(_) => "(an object)".to_owned(),
            Value::Array(_) => "(a list)".to_owned(),
            Value::String(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.value.to_string(),
        }
    }

    /// Reads an object of these keys only.
    ///
    /// # Errors
    /// For another value than an object, and for the first other key.
    pub fn object(&self, known: &[&str]) -> Result<Object<'a>, ConfigError> {
        self.with_keys(&Keys::known(known))
    }

    /// Reads an object of these keys only, and notes those that have no effect.
    ///
    /// # Errors
    /// Those of [`At::object`].
    pub(super) fn with_keys(&self, keys: &Keys<'_>) -> Result<Object<'a>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        // A field that is known but not supported yet gets an error that says so.
        let unknown = |key: &&String| !keys.has(key) && !YET.contains(&key.as_str());
        for key in members.keys().filter(unknown) {
            let key = key.chars().take(80).collect::<String>();
            let fault = ConfigError::new(join(&self.path, &key), "must be a known field");
            gather(self.faults, fault.allowing(keys.known))?;
        }
        let object = self.members()?;
        let yet: Vec<&str> = YET.iter().copied().filter(|key| !keys.has(key)).collect();
        object.refuse_yet(&yet).or_else(|fault| gather(self.faults, fault))?;
        object.note_all(keys.void);
        Ok(object)
    }

    /// Notes that the value has no effect here, and why.
    pub(super) fn note(&self, why: &str) {
        if let Some(faults) = self.faults {
            let (path, found) = (self.path.clone(), self.found());
            faults.note(ConfigNote { path, found, why: why.to_owned() });
        }
    }

    /// Reads an object with keys that were checked before.
    ///
    /// # Errors
    /// For another value than an object.
    pub fn members(&self) -> Result<Object<'a>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        Ok(Object { path: self.path.clone(), members: Some(members), faults: self.faults })
    }

    /// Reads an object with any keys: its members, each with its key.
    ///
    /// # Errors
    /// For another value than an object, and for more than 256 members.
    pub fn entries(&self) -> Result<Vec<(&'a str, Self)>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        self.at_most(members.len())?;
        let path = &self.path;
        let entry = |(key, value): (&'a String, &'a Value)| {
            (key.as_str(), self.child(join(path, key), value))
        };
        Ok(members.iter().map(entry).collect())
    }

    /// Reads a string that is not empty.
    ///
    /// # Errors
    /// For any other value.
    pub fn text(&self) -> Result<&'a str, ConfigError> {
        self.value
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.refuse("a string that is not empty"))
    }

    /// Reads true or false.
    ///
    /// # Errors
    /// For any other value.
    pub fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.refuse("true or false"))
    }

    /// Reads a finite number; `None` for any other value.
    pub fn number(&self) -> Option<f64> {
        self.value.as_f64().filter(|number| number.is_finite())
    }

    /// Reads a whole number from `min` to `max`; Istio sends every number as a double.
    ///
    /// # Errors
    /// For any other value.
    pub fn whole(&self, min: u32, max: u32) -> Result<u32, ConfigError> {
        self.number()
            .and_then(quantity::whole)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.refuse(&format!("a whole number from {min} to {max}")))
    }

    /// Reads a whole number of 32 bits, which may be below zero.
    ///
    /// # Errors
    /// For any other value.
    pub fn signed(&self) -> Result<i32, ConfigError> {
        let magnitude = self.number().and_then(|number| quantity::whole(number.abs()));
        let negative = self.number().is_some_and(|number| number < 0.0);
        magnitude
            .and_then(|number| i64::try_from(number).ok())
            .and_then(|number| i32::try_from(if negative { -number } else { number }).ok())
            .ok_or_else(|| self.refuse("a whole number of 32 bits"))
    }

    /// Reads a number from `min` to `max`.
    ///
    /// # Errors
    /// For any other value.
    pub fn within(&self, min: f64, max: f64) -> Result<f64, ConfigError> {
        self.number()
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.refuse(&format!("a number from {min} to {max}")))
    }

    /// Reads a number of bytes above zero: a number, or a Kubernetes quantity.
    ///
    /// # Errors
    /// For any other value.
    pub fn bytes(&self) -> Result<u64, ConfigError> {
        self.quantity().filter(|bytes| *bytes > 0).ok_or_else(|| {
            self.refuse("bytes as a number or a quantity such as \"4Mi\" or \"10k\"")
        })
    }

    /// Reads a limit: a number, or a Kubernetes quantity. As in the EPP, zero is none.
    ///
    /// # Errors
    /// For any other value.
    pub fn limit(&self) -> Result<Option<u64>, ConfigError> {
        let limit = self.quantity().ok_or_else(|| {
            self.refuse("a number or a quantity such as \"1Gi\" or \"10k\", 0 for no limit")
        })?;
        Ok((limit > 0).then_some(limit))
    }

    fn quantity(&self) -> Option<u64> {
        match self.value.as_str() {
            Some(text) => quantity::parse(text),
            None => self.number().and_then(quantity::whole),
        }
    }

    /// Reads a duration as Go writes it.
    ///
    /// # Errors
    /// For any other value.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        self.value
            .as_str()
            .and_then(duration::parse)
            .ok_or_else(|| self.refuse("a duration such as \"200ms\", \"60s\" or \"1m30s\""))
    }

    /// Reads one of these names: the value that it stands for.
    ///
    /// # Errors
    /// For any other value.
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let found = self.value.as_str();
        let choice = choices.iter().find(|(name, _)| Some(*name) == found);
        choice.map(|(_, choice)| *choice).ok_or_else(|| {
            self.refuse_name(&choices.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        })
    }
}

/// Fields that the EPP or the design of llm-picker has, in any object, and that are not built yet.
const YET: [&str; 5] =
    ["parser", "discovery", "peerDiscovery", "crossReplica", "crossReplicaSyncerPluginRef"];

impl<'a> Object<'a> {
    /// Returns the value of `key`; null counts as absent, as in Go.
    pub fn get(&self, key: &str) -> Option<At<'a>> {
        let value = self.members?.get(key).filter(|value| !value.is_null())?;
        Some(At { path: join(&self.path, key), value, faults: self.faults })
    }

    /// Reads the value of `key` with `read`, or returns the default where it is left out, or faulty while
    /// faults are gathered.
    ///
    /// # Errors
    /// Those of `read` where faults are not gathered.
    pub fn read<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&At<'a>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(at) => self.settle(read(&at), default),
        }
    }

    /// Reads the object at `key`, which has no members where it is left out.
    ///
    /// # Errors
    /// Those of [`At::object`].
    pub fn child(&self, key: &str, known: &[&str]) -> Result<Self, ConfigError> {
        self.child_with(key, &Keys::known(known))
    }

    /// Notes of each of these keys that is there why it has no effect.
    pub(super) fn note_all(&self, void: &[(&str, &str)]) {
        for (key, why) in void {
            if let Some(at) = self.get(key) {
                at.note(why);
            }
        }
    }

    /// Reads the object at `key`, which has no members where it is left out, and notes the keys that have
    /// no effect.
    ///
    /// # Errors
    /// Those of [`At::object`].
    pub(super) fn child_with(&self, key: &str, keys: &Keys<'_>) -> Result<Self, ConfigError> {
        match self.get(key) {
            Some(at) => at.with_keys(keys),
            None => Ok(Self { path: join(&self.path, key), members: None, faults: self.faults }),
        }
    }

    /// Returns an object that was left out.
    pub(super) const fn absent() -> Self {
        Self { path: String::new(), members: None, faults: None }
    }

    /// Returns what was read, or the default where it is faulty and faults are gathered.
    ///
    /// # Errors
    /// For a fault where none are gathered.
    pub(super) fn settle<T>(
        &self,
        read: Result<T, ConfigError>,
        default: T,
    ) -> Result<T, ConfigError> {
        read.or_else(|fault| gather(self.faults, fault).map(|()| default))
    }

    /// True if nothing was wrong so far, so that parts can be held against each other.
    pub(super) fn is_sound(&self) -> bool {
        self.faults.is_none_or(Faults::is_empty)
    }

    /// Returns the error that the members break a rule together, as in "must have one handler".
    pub fn problem(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path.as_str(), problem)
    }

    /// Returns the error that the value of `key`, given or by default, breaks a rule.
    pub(super) fn refuse(&self, key: &str, found: &str, problem: &str) -> ConfigError {
        ConfigError::new(join(&self.path, key), problem).having(format!("{found:?}"))
    }

    /// Returns the value of `key`, which must be there.
    ///
    /// # Errors
    /// Where it is left out or null.
    pub fn required(&self, key: &str) -> Result<At<'a>, ConfigError> {
        self.get(key).ok_or_else(|| {
            ConfigError::new(join(&self.path, key), "must not be left out".to_owned())
        })
    }

    /// Refuses keys that are known but not built yet.
    ///
    /// # Errors
    /// For the first of them that is there.
    pub fn refuse_yet(&self, keys: &[&str]) -> Result<(), ConfigError> {
        match keys.iter().find_map(|key| self.get(key)) {
            Some(at) => Err(at.problem("must be left out, as it is not supported yet")),
            None => Ok(()),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{key}")
}
