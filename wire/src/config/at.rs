//! A value in the configuration, with the path that leads to it.

use serde_json::{Map, Value};

use super::{ConfigError, ITEMS_MAX, quantity};

/// A value in the configuration, with the path that leads to it.
pub(super) struct At<'a> {
    path: String,
    value: &'a Value,
}

/// An object whose keys are all known.
pub(super) struct Object<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> At<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The error that something else was found than what is `allowed`.
    pub(super) fn refuse(&self, allowed: &str) -> ConfigError {
        self.problem(format!("found {}; allowed: {allowed}", self.found()))
    }

    pub(super) fn problem(&self, problem: String) -> ConfigError {
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

    pub(super) fn object(&self, known: &[&str]) -> Result<Object<'a>, ConfigError> {
        let object = self.members()?;
        // What is known but not supported yet gets an error that says so.
        let unknown =
            |key: &&String| !known.contains(&key.as_str()) && !YET.contains(&key.as_str());
        if let Some(key) = object.members.keys().find(unknown) {
            let key = key.chars().take(80).collect::<String>();
            let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(
                self.problem(format!("found the unknown field {key:?}; allowed: {allowed}"))
            );
        }
        let yet: Vec<&str> = YET.iter().copied().filter(|key| !known.contains(key)).collect();
        object.refuse_yet(&yet)?;
        Ok(object)
    }

    /// The members of an object whose keys were checked before.
    pub(super) fn members(&self) -> Result<Object<'a>, ConfigError> {
        let Value::Object(members) = self.value else { return Err(self.refuse("an object")) };
        Ok(Object { path: self.path.clone(), members })
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, ConfigError> {
        let Value::Array(items) = self.value else { return Err(self.refuse("a list")) };
        if items.len() > ITEMS_MAX {
            let found = items.len();
            return Err(self.problem(format!("found {found} items; allowed: {ITEMS_MAX}")));
        }
        let item = |(index, value)| Self { path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        self.value
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| self.refuse("a string that is not empty"))
    }

    pub(super) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.refuse("true or false"))
    }

    pub(super) fn number(&self) -> Option<f64> {
        self.value.as_f64().filter(|number| number.is_finite())
    }

    /// A whole number; Istio sends every number as a double.
    pub(super) fn whole(&self, min: u32, max: u32) -> Result<u32, ConfigError> {
        self.number()
            .and_then(quantity::whole)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.refuse(&format!("a whole number from {min} to {max}")))
    }

    pub(super) fn signed(&self) -> Result<i32, ConfigError> {
        let magnitude = self.number().and_then(|number| quantity::whole(number.abs()));
        let negative = self.number().is_some_and(|number| number < 0.0);
        magnitude
            .and_then(|number| i64::try_from(number).ok())
            .and_then(|number| i32::try_from(if negative { -number } else { number }).ok())
            .ok_or_else(|| self.refuse("a whole number of 32 bits"))
    }

    /// A number of bytes: a number, or a Kubernetes quantity.
    pub(super) fn bytes(&self) -> Result<u64, ConfigError> {
        let bytes = match self.value.as_str() {
            Some(text) => quantity::parse(text),
            None => self.number().and_then(quantity::whole),
        };
        bytes.filter(|bytes| *bytes > 0).ok_or_else(|| {
            self.refuse("bytes as a number or a quantity such as \"4Mi\" or \"10k\"")
        })
    }

    pub(super) fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let found = self.value.as_str();
        let choice = choices.iter().find(|(name, _)| Some(*name) == found);
        choice.map(|(_, choice)| *choice).ok_or_else(|| {
            self.refuse(&choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
        })
    }
}

/// Fields that the EPP or our design has, wherever they are, and that are not built yet.
const YET: [&str; 12] = [
    "flowControl",
    "saturationDetector",
    "parser",
    "modelRewrites",
    "match",
    "fairnessKey",
    "strip",
    "propagatePriority",
    "discovery",
    "peerDiscovery",
    "crossReplica",
    "crossReplicaSyncerPluginRef",
];

impl<'a> Object<'a> {
    /// The value of `key`; null counts as absent, as in Go.
    pub(super) fn get(&self, key: &str) -> Option<At<'a>> {
        let value = self.members.get(key).filter(|value| !value.is_null())?;
        let dot = if self.path.is_empty() { "" } else { "." };
        Some(At { path: format!("{}{dot}{key}", self.path), value })
    }

    pub(super) fn required(&self, key: &str) -> Result<At<'a>, ConfigError> {
        self.get(key).ok_or_else(|| {
            ConfigError::new(self.path.as_str(), format!("the field {key:?} is missing"))
        })
    }

    /// Refuses keys that are known but not built yet.
    pub(super) fn refuse_yet(&self, keys: &[&str]) -> Result<(), ConfigError> {
        match keys.iter().find_map(|key| self.get(key)) {
            Some(at) => Err(at.problem("not supported yet; allowed: leave it out".to_owned())),
            None => Ok(()),
        }
    }
}
