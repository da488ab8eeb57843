//! The models that are read, told apart by their InferencePools.

use serde_json::{Map, Value};

/// One model on its way to the chart's `models`.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) values: Map<String, Value>,
    /// The ConfigMap's key that it names for its EndpointPickerConfig.
    pub(super) wanted: Option<Wanted>,
    pool: Option<String>,
}

/// A ConfigMap's key.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The ConfigMaps that it may be in; any, if there are none.
    pub(super) maps: Vec<String>,
    pub(super) key: String,
}

impl Wanted {
    pub(super) fn is(&self, map: &str, key: &str) -> bool {
        self.key == key && (self.maps.is_empty() || self.maps.iter().any(|it| it == map))
    }
}

/// All of them, of which one is being read.
#[derive(Debug, Default)]
pub(super) struct Models {
    current: Model,
    others: Vec<Model>,
}

impl Models {
    pub(super) fn current(&mut self) -> &mut Model {
        &mut self.current
    }

    /// Goes on with the model of this InferencePool: a new one, if another has one already.
    pub(super) fn of_pool(&mut self, name: &str) -> &mut Model {
        let is_it = |model: &Model| model.pool.as_deref() == Some(name);
        if !is_it(&self.current) && self.current.pool.is_some() {
            let known = self.others.iter().position(is_it);
            let next = known.map(|at| self.others.remove(at)).unwrap_or_default();
            self.others.push(std::mem::replace(&mut self.current, next));
        }
        self.current.pool = Some(name.to_owned());
        &mut self.current
    }

    /// Those of which anything is known.
    pub(super) fn into_all(self) -> Vec<Model> {
        let mut all = self.others;
        all.push(self.current);
        all.retain(|model| !model.values.is_empty() || model.wanted.is_some());
        all
    }
}
