//! The models that are read. Their InferencePools tell them apart.

use serde_json::{Map, Value};

/// The values of one model, on their way to the chart's `models`.
#[derive(Debug, Default)]
pub(super) struct ModelValues {
    pub(super) values: Map<String, Value>,
    /// Place of the model's EndpointPickerConfig.
    pub(super) config: Option<ConfigReference>,
    /// Name of the model's InferencePool, once it is known.
    pool: Option<String>,
}

/// A reference to a key of a ConfigMap.
#[derive(Debug)]
pub(super) struct ConfigReference {
    /// ConfigMaps that may have the key; any of the input, if there are none.
    pub(super) maps: Vec<String>,
    pub(super) key: String,
}

impl ConfigReference {
    /// True if the reference can mean this key of this ConfigMap.
    pub(super) fn is_to(&self, map: &str, key: &str) -> bool {
        self.key == key && (self.maps.is_empty() || self.maps.iter().any(|it| it == map))
    }
}

/// The models read so far, of which one is being read.
#[derive(Debug, Default)]
pub(super) struct Models {
    current: ModelValues,
    others: Vec<ModelValues>,
}

impl Models {
    pub(super) fn current(&mut self) -> &mut ModelValues {
        &mut self.current
    }

    /// Goes on with the model of this InferencePool, which is a new model if the current one has
    /// another pool.
    pub(super) fn for_pool(&mut self, name: &str) -> &mut ModelValues {
        let is_it = |model: &ModelValues| model.pool.as_deref() == Some(name);
        if !is_it(&self.current) && self.current.pool.is_some() {
            let known = self.others.iter().position(is_it);
            let next = known.map(|at| self.others.remove(at)).unwrap_or_default();
            self.others.push(std::mem::replace(&mut self.current, next));
        }
        self.current.pool = Some(name.to_owned());
        &mut self.current
    }

    /// Returns the models of which anything is known.
    pub(super) fn into_all(self) -> Vec<ModelValues> {
        let mut all = self.others;
        all.push(self.current);
        all.retain(|model| !model.values.is_empty() || model.config.is_some());
        all
    }
}
