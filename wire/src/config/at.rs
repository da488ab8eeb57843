//! A value in the configuration, with the path that leads to it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{ConfigError, ITEMS_MAX, duration, quantity};

/// A value in the configuration, with the path that leads to it.
#[derive(Debug)]
pub struct At<'a> {
    path: String,
    value: &'a Value,
}

/// An object whose keys are all known; without members where it is left out.
#[derive(Debug)]
pub struct Object<'a> {
    path: String,
    members: Option<&'a Map<String, Value>>,
}

impl<'a> At<'a> {
    /// The whole of it.
    #[must_use]
    pub fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The error that something else was found than what is `allowed`.
    pub fn refuse(&self, allowed: &str) -> ConfigError {
        self.problem(format!("found {}; allowed: {allowed}", self.found()))
    }

    /// The error that what is here is wrong in another way.
    pub fn problem(&self, problem: String) -> ConfigError {
        ConfigError::new(self.path.as_str(), problem)
    }

    /// What is here, short enough for a line in a log.
    fn found(&self) -> String {
        match self.value {
            Value::Object(_) => "an object".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::String(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.value.to_string(),
        }
    }

    /// An object of these keys only.
    pub fn object(&self, known: &[&str]) -> Result<Object<'a>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        // What is known but not supported yet gets an error that says so.
        let unknown =
            |key: &&String| !known.contains(&key.as_str()) && !YET.contains(&key.as_str());
        if let Some(key) = members.keys().find(unknown) {
            let key = key.chars().take(80).collect::<String>();
            let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(
                self.problem(format!("found the unknown field {key:?}; allowed: {allowed}"))
            );
        }
        let object = self.members()?;
        let yet: Vec<&str> = YET.iter().copied().filter(|key| !known.contains(key)).collect();
        object.refuse_yet(&yet)?;
        Ok(object)
    }

    /// The members of an object whose keys were checked before.
    pub fn members(&self) -> Result<Object<'a>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        Ok(Object { path: self.path.clone(), members: Some(members) })
    }

    /// The members of an object with any keys, each with its key.
    pub fn entries(&self) -> Result<Vec<(&'a str, Self)>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        self.at_most(members.len())?;
        let path = &self.path;
        let entry = |(key, value): (&'a String, &'a Value)| {
            (key.as_str(), Self { path: join(path, key), value })
        };
        Ok(members.iter().map(entry).collect())
    }

    /// The items of a list.
    pub fn list(&self) -> Result<Vec<Self>, ConfigError> {
        let Value::Array(items) = self.value else { return Err(self.refuse("a list")) };
        self.at_most(items.len())?;
        let item = |(index, value)| Self { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn at_most(&self, found: usize) -> Result<(), ConfigError> {
        if found <= ITEMS_MAX {
            return Ok(());
        }
        Err(self.problem(format!("found {found} items; allowed: {ITEMS_MAX}")))
    }

    /// A string that says something.
    pub fn text(&self) -> Result<&'a str, ConfigError> {
        self.value
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.refuse("a string that is not empty"))
    }

    /// True or false.
    pub fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.refuse("true or false"))
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        self.value.as_f64().filter(|number| number.is_finite())
    }

    /// A whole number; Istio sends every number as a double.
    pub fn whole(&self, min: u32, max: u32) -> Result<u32, ConfigError> {
        self.number()
            .and_then(quantity::whole)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.refuse(&format!("a whole number from {min} to {max}")))
    }

    /// A whole number of 32 bits, which may be below zero.
    pub fn signed(&self) -> Result<i32, ConfigError> {
        let magnitude = self.number().and_then(|number| quantity::whole(number.abs()));
        let negative = self.number().is_some_and(|number| number < 0.0);
        magnitude
            .and_then(|number| i64::try_from(number).ok())
            .and_then(|number| i32::try_from(if negative { -number } else { number }).ok())
            .ok_or_else(|| self.refuse("a whole number of 32 bits"))
    }

    /// A number within bounds.
    pub fn within(&self, min: f64, max: f64) -> Result<f64, ConfigError> {
        self.number()
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.refuse(&format!("a number from {min} to {max}")))
    }

    /// A number of bytes above zero: a number, or a Kubernetes quantity.
    pub fn bytes(&self) -> Result<u64, ConfigError> {
        self.quantity().filter(|bytes| *bytes > 0).ok_or_else(|| {
            self.refuse("bytes as a number or a quantity such as \"4Mi\" or \"10k\"")
        })
    }

    /// A limit: a number, or a Kubernetes quantity. As in the EPP, zero is none.
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

    /// A duration as Go writes it.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        self.value
            .as_str()
            .and_then(duration::parse)
            .ok_or_else(|| self.refuse("a duration such as \"200ms\", \"60s\" or \"1m30s\""))
    }

    /// What stands for one of these words.
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let found = self.value.as_str();
        let choice = choices.iter().find(|(name, _)| Some(*name) == found);
        choice.map(|(_, choice)| *choice).ok_or_else(|| {
            self.refuse(&choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
        })
    }
}

/// Fields that the EPP or our design has, wherever they are, and that are not built yet.
const YET: [&str; 5] =
    ["parser", "discovery", "peerDiscovery", "crossReplica", "crossReplicaSyncerPluginRef"];

impl<'a> Object<'a> {
    /// The value of `key`; null counts as absent, as in Go.
    pub fn get(&self, key: &str) -> Option<At<'a>> {
        let value = self.members?.get(key).filter(|value| !value.is_null())?;
        Some(At { path: join(&self.path, key), value })
    }

    /// What `read` makes of the value of `key`, or the default where it is left out.
    pub fn read<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&At<'a>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        self.get(key).map_or(Ok(default), |at| read(&at))
    }

    /// The object at `key`, which has no members where it is left out.
    pub fn child(&self, key: &str, known: &[&str]) -> Result<Self, ConfigError> {
        match self.get(key) {
            Some(at) => at.object(known),
            None => Ok(Self { path: join(&self.path, key), members: None }),
        }
    }

    /// An object that was left out.
    pub(super) const fn absent() -> Self {
        Self { path: String::new(), members: None }
    }

    /// The error that these members do not go together.
    pub fn problem(&self, problem: String) -> ConfigError {
        ConfigError::new(self.path.as_str(), problem)
    }

    /// The value of `key`, which must be there.
    pub fn required(&self, key: &str) -> Result<At<'a>, ConfigError> {
        self.get(key).ok_or_else(|| {
            ConfigError::new(self.path.as_str(), format!("the field {key:?} is missing"))
        })
    }

    /// Refuses keys that are known but not built yet.
    pub fn refuse_yet(&self, keys: &[&str]) -> Result<(), ConfigError> {
        match keys.iter().find_map(|key| self.get(key)) {
            Some(at) => Err(at.problem("not supported yet; allowed: leave it out".to_owned())),
            None => Ok(()),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{key}")
}
