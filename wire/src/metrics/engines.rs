//! The engines of one pool, chosen by its pods' labels.

use std::sync::Arc;

use super::Engine;

/// Label that names a pod's engine, and its older name.
const LABELS: [&str; 2] = ["llm-d.ai/engine-type", "inference.networking.k8s.io/engine-type"];

/// Engines of one pool (EPP: core-metrics-extractor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engines {
    /// Label to go by in place of the usual two.
    label: Option<String>,
    default: Arc<Engine>,
    engines: Vec<Arc<Engine>>,
}

impl Engines {
    /// Returns the known engines and the `described` ones, which come first; `default` is that of
    /// pods with a label that names none.
    ///
    /// # Errors
    /// For a `default` that names no engine.
    pub fn new(
        described: Vec<Engine>,
        default: &str,
        label: Option<String>,
    ) -> Result<Self, String> {
        let engines: Vec<_> = described.into_iter().chain(Engine::known()).map(Arc::new).collect();
        let Some(default) = engines.iter().find(|engine| engine.name == default).cloned() else {
            let names: Vec<_> = engines.iter().map(|engine| engine.name.as_str()).collect();
            return Err(format!(
                "must be a known engine, not {default:?}; allowed: {}",
                names.join(", ")
            ));
        };
        Ok(Self { label, default, engines })
    }

    /// Returns the engine of a pod with these labels; one of an unknown name has the default's.
    #[must_use]
    pub fn for_labels(&self, labels: &[(String, String)]) -> Arc<Engine> {
        let value = |name: &str| labels.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let named = match &self.label {
            Some(label) => value(label),
            None => LABELS.iter().find_map(|label| value(label)),
        };
        let known = |name: &String| self.engines.iter().find(|engine| engine.name == *name);
        Arc::clone(named.and_then(known).unwrap_or(&self.default))
    }
}

impl Default for Engines {
    /// Returns the known engines, vLLM first.
    fn default() -> Self {
        let engines: Vec<_> = Engine::known().into_iter().map(Arc::new).collect();
        Self { label: None, default: Arc::new(Engine::vllm()), engines }
    }
}
