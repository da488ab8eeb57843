//! The fields of a snapshot in the order in which they are sent. To change one is a new version.

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    Adapters, CacheConfig, Endpoint, Health, Incarnation, Metrics, Model, ModelRewrite,
    OBJECTIVES_MAX, Objective, Snapshot, flow::Priority,
};
use serde::{Deserialize, Serialize};

use super::{
    ENDPOINTS_MAX, LABEL_KEY_MAX, LABEL_VALUE_MAX, LABELS_MAX, POOL_NAME_MAX, QUIET_MS_MAX,
    is_attribute_key, is_object_name,
    rewrite::{self, Rewrite, Served},
};
use crate::{
    frame::{FrameError, bound},
    metrics::{ADAPTER_NAME_MAX, ADAPTERS_MAX, CUSTOM_MAX},
    texts::{self, TextRecord},
};

/// Layout of a [`Snapshot`].
#[derive(Serialize, Deserialize)]
pub(super) struct Pool<'a> {
    name: &'a str,
    quiet_for_ms: u16,
    #[serde(borrow)]
    endpoints: Vec<Server<'a>>,
    /// Names with priorities.
    #[serde(borrow)]
    objectives: Vec<(&'a str, i32)>,
    #[serde(borrow)]
    model_rewrites: Vec<Rewrite<'a>>,
    #[serde(borrow)]
    models: Vec<Served<'a>>,
    #[serde(borrow)]
    texts: Vec<TextRecord<'a>>,
}

/// Layout of an [`Endpoint`].
#[derive(Serialize, Deserialize)]
struct Server<'a> {
    address: SocketAddr,
    up: bool,
    #[serde(borrow)]
    metrics: Option<Load<'a>>,
    #[serde(borrow)]
    labels: Vec<(&'a str, &'a str)>,
    /// Number of the engine's life, and its age.
    incarnation: (u64, Duration),
}

/// Layout of [`Metrics`].
#[derive(Serialize, Deserialize)]
struct Load<'a> {
    age: Duration,
    waiting: u32,
    running: u32,
    kv_usage: f32,
    /// Tokens per block, blocks.
    cache: Option<(u32, u32)>,
    #[serde(borrow)]
    adapters: Option<Lora<'a>>,
    /// Custom metrics by their keys.
    #[serde(borrow)]
    attributes: Vec<(&'a str, f64)>,
}

/// Layout of [`Adapters`].
#[derive(Serialize, Deserialize)]
struct Lora<'a> {
    max: u32,
    #[serde(borrow)]
    running: Vec<&'a str>,
    #[serde(borrow)]
    waiting: Vec<&'a str>,
}

impl<'a> Pool<'a> {
    pub(super) fn from_snapshot(snapshot: &'a Snapshot) -> Result<Self, FrameError> {
        let endpoints = snapshot.endpoints.iter().map(Server::from_endpoint).collect();
        let objectives = snapshot.objectives.iter();
        let objectives = objectives.map(|it| (it.name.as_str(), it.priority.0)).collect();
        let pool = Self {
            name: &snapshot.pool,
            quiet_for_ms: u16::try_from(snapshot.quiet_for.as_millis()).unwrap_or(u16::MAX),
            endpoints,
            objectives,
            model_rewrites: snapshot.model_rewrites.iter().map(Rewrite::from_rewrite).collect(),
            models: snapshot.models.iter().map(Served::from_model).collect(),
            texts: texts::records(&snapshot.texts),
        };
        pool.check()?;
        Ok(pool)
    }

    fn check(&self) -> Result<(), FrameError> {
        bound(self.name.len() <= POOL_NAME_MAX, "the pool's name", "63 bytes")?;
        bound(self.quiet_for_ms <= QUIET_MS_MAX, "how long it is quiet", "1 s")?;
        bound(self.endpoints.len() <= ENDPOINTS_MAX, "endpoints", "4,096")?;
        self.endpoints.iter().try_for_each(Server::check)?;
        self.check_objectives()?;
        rewrite::check(&self.model_rewrites)?;
        rewrite::check_models(&self.models)?;
        texts::check(&self.texts)
    }

    fn check_objectives(&self) -> Result<(), FrameError> {
        let mut names = self.objectives.iter().map(|(name, _)| name);
        bound(names.len() <= OBJECTIVES_MAX, "objectives", "1,024")?;
        let ascend = names.clone().is_sorted_by(|one, next| one < next);
        bound(ascend, "the order of objectives", "ascending names, each once")?;
        let fit = names.all(|name| is_object_name(name));
        bound(fit, "an objective's name", "a Kubernetes object's: 1 to 253 of a-z 0-9 - .")
    }
}

impl TryFrom<Pool<'_>> for Snapshot {
    type Error = FrameError;

    fn try_from(pool: Pool<'_>) -> Result<Self, FrameError> {
        pool.check()?;
        let endpoints = pool.endpoints.into_iter().map(Endpoint::from).collect();
        let objective = |(name, priority): (&str, i32)| Objective {
            name: name.to_owned(),
            priority: Priority(priority),
        };
        let objectives = pool.objectives.into_iter().map(objective).collect();
        Ok(Self {
            pool: pool.name.to_owned(),
            quiet_for: Duration::from_millis(pool.quiet_for_ms.into()),
            endpoints,
            objectives,
            model_rewrites: pool.model_rewrites.into_iter().map(ModelRewrite::from).collect(),
            models: pool.models.into_iter().map(Model::from).collect(),
            texts: texts::measures(&pool.texts)?,
        })
    }
}

impl<'a> Server<'a> {
    fn from_endpoint(endpoint: &'a Endpoint) -> Self {
        Self {
            address: endpoint.address,
            up: endpoint.health == Health::Up,
            metrics: endpoint.metrics.as_ref().map(Load::from_metrics),
            labels: endpoint.labels.iter().map(|(key, value)| (&**key, &**value)).collect(),
            incarnation: (endpoint.incarnation.number, endpoint.incarnation.age),
        }
    }

    fn check(&self) -> Result<(), FrameError> {
        bound(self.labels.len() <= LABELS_MAX, "an endpoint's labels", "64")?;
        let fit = |(key, value): &(&str, &str)| {
            key.len() <= LABEL_KEY_MAX && value.len() <= LABEL_VALUE_MAX
        };
        bound(self.labels.iter().all(fit), "a label", "a key of 317 and a value of 63 bytes")?;
        self.metrics.as_ref().map_or(Ok(()), Load::check)
    }
}

impl From<Server<'_>> for Endpoint {
    fn from(server: Server<'_>) -> Self {
        let labels = server.labels.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Self {
            address: server.address,
            health: if server.up { Health::Up } else { Health::Down },
            metrics: server.metrics.map(Metrics::from),
            labels: labels.collect(),
            incarnation: Incarnation { number: server.incarnation.0, age: server.incarnation.1 },
        }
    }
}

impl<'a> Load<'a> {
    fn from_metrics(metrics: &'a Metrics) -> Self {
        Self {
            age: metrics.age,
            waiting: metrics.waiting,
            running: metrics.running,
            kv_usage: metrics.kv_usage,
            cache: metrics.cache.map(|cache| (cache.block_tokens, cache.blocks)),
            adapters: metrics.adapters.as_ref().map(Lora::from_adapters),
            attributes: metrics.attributes.iter().map(|(key, value)| (&**key, *value)).collect(),
        }
    }

    fn check(&self) -> Result<(), FrameError> {
        bound((0.0..=1.0).contains(&self.kv_usage), "KV-cache usage", "0 to 1")?;
        bound(self.attributes.len() <= CUSTOM_MAX, "an endpoint's custom metrics", "8")?;
        let fit = |(key, value): &(&str, f64)| is_attribute_key(key) && value.is_finite();
        let allowed = "a key of 1 to 63 bytes and a finite value";
        bound(self.attributes.iter().all(fit), "a custom metric", allowed)?;
        let lists = self.adapters.iter().flat_map(|lora| [&lora.running, &lora.waiting]);
        for names in lists {
            bound(names.len() <= ADAPTERS_MAX, "adapters", "256")?;
            let fit = names.iter().all(|name| name.len() <= ADAPTER_NAME_MAX);
            bound(fit, "an adapter's name", "255 bytes")?;
        }
        Ok(())
    }
}

impl From<Load<'_>> for Metrics {
    fn from(load: Load<'_>) -> Self {
        let Load { age, waiting, running, kv_usage, cache, adapters, attributes } = load;
        let cache = cache.map(|(block_tokens, blocks)| CacheConfig { block_tokens, blocks });
        let adapters = adapters.map(Adapters::from);
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value));
        let attributes = attributes.collect();
        Self { age, waiting, running, kv_usage, cache, adapters, attributes }
    }
}

impl<'a> Lora<'a> {
    fn from_adapters(adapters: &'a Adapters) -> Self {
        Self {
            max: adapters.max,
            running: adapters.running.iter().map(String::as_str).collect(),
            waiting: adapters.waiting.iter().map(String::as_str).collect(),
        }
    }
}

impl From<Lora<'_>> for Adapters {
    fn from(lora: Lora<'_>) -> Self {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Self { max: lora.max, running: owned(lora.running), waiting: owned(lora.waiting) }
    }
}
