//! InferencePools, InferenceObjectives and InferenceModelRewrites.

use std::collections::{BTreeMap, BTreeSet};

use picker_core::{
    ModelRewrite, Objective, REWRITE_NAMES_MAX, REWRITE_RULES_MAX, REWRITE_WEIGHT_MAX, RewriteRule,
    RewriteTarget, flow::Priority,
};
use serde::Deserialize;
use serde_json::Value;

use crate::snapshot::{MODEL_NAME_MAX, is_object_name};

/// API group of InferencePools.
pub const POOL_GROUP: &str = "inference.networking.k8s.io";
/// API groups of objectives and rewrites, the newer first.
pub const GROUPS: [&str; 2] = ["llm-d.ai", "inference.networking.x-k8s.io"];

/// Target ports of a pool at most, as its definition has it.
const TARGET_PORTS_MAX: usize = 8;

/// Pods of a pool, and their endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferencePool {
    /// Labels that its pods have.
    pub selector: BTreeMap<String, String>,
    /// Ports of each pod, every one of which is an endpoint.
    pub target_ports: Vec<u16>,
    /// True if pods speak HTTP/2 without TLS (`appProtocol: kubernetes.io/h2c`).
    pub http2: bool,
}

/// Named priority of requests of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferenceObjective {
    pool: PoolRef,
    /// Name and priority.
    pub objective: Objective,
}

/// Rules by which requests of a pool go to other models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferenceModelRewrite {
    pool: Option<PoolRef>,
    /// Time of its creation: of two rules for one model, that of the older object counts. In the
    /// notation of RFC 3339 in UTC, which sorts by time.
    pub created: String,
    /// Name and rules.
    pub rewrite: ModelRewrite,
}

impl InferencePool {
    /// Reads an InferencePool.
    ///
    /// # Errors
    /// For any other object, for a selector without labels, and for no or too many target ports.
    pub fn read(object: &Value) -> Result<Self, String> {
        let CustomObject { spec }: CustomObject<PoolSpec> = read(object)?;
        if spec.selector.match_labels.is_empty() {
            return Err("invalid selector: must have labels, else it selects every pod".to_owned());
        }
        let ports: BTreeSet<_> = spec.target_ports.iter().map(|port| port.number).collect();
        if ports.contains(&0) || !(1..=TARGET_PORTS_MAX).contains(&ports.len()) {
            return Err(format!(
                "invalid target ports {ports:?}: must be 1 to {TARGET_PORTS_MAX} of 1 to 65535"
            ));
        }
        Ok(Self {
            selector: spec.selector.match_labels,
            target_ports: ports.into_iter().collect(),
            http2: spec.app_protocol.as_deref() == Some("kubernetes.io/h2c"),
        })
    }
}

impl InferenceObjective {
    /// Reads an InferenceObjective.
    ///
    /// # Errors
    /// For any other object.
    pub fn read(object: &Value) -> Result<Self, String> {
        let CustomObject { spec }: CustomObject<ObjectiveSpec> = read(object)?;
        let name = named(object)?.0;
        let priority = Priority(spec.priority.unwrap_or(0));
        Ok(Self { pool: spec.pool_ref, objective: Objective { name, priority } })
    }

    /// True if the object is about this pool.
    #[must_use]
    pub fn is_of(&self, pool: &str) -> bool {
        self.pool.is(pool)
    }
}

impl InferenceModelRewrite {
    /// Reads an InferenceModelRewrite.
    ///
    /// # Errors
    /// For any other object, and for one that is larger than a snapshot takes.
    pub fn read(object: &Value) -> Result<Self, String> {
        let CustomObject { spec }: CustomObject<RewriteSpec> = read(object)?;
        let (name, created) = named(object)?;
        if spec.rules.len() > REWRITE_RULES_MAX {
            let found = spec.rules.len();
            return Err(format!(
                "invalid rules of {found} items: must have at most {REWRITE_RULES_MAX}"
            ));
        }
        let rules = spec.rules.into_iter().map(RuleSpec::read).collect::<Result<_, _>>()?;
        Ok(Self { pool: spec.pool_ref, created, rewrite: ModelRewrite { name, rules } })
    }

    /// True if the object is about this pool.
    #[must_use]
    pub fn is_of(&self, pool: &str) -> bool {
        self.pool.as_ref().is_some_and(|it| it.is(pool))
    }
}

fn read<'a, T: Deserialize<'a>>(object: &'a Value) -> Result<T, String> {
    T::deserialize(object).map_err(|why| why.to_string())
}

/// Reads the name and the time of creation.
fn named(object: &Value) -> Result<(String, String), String> {
    let Named { metadata } = read(object)?;
    if !is_object_name(&metadata.name) {
        return Err(format!("invalid name {:?}: must be 1 to 253 of a-z 0-9 - .", metadata.name));
    }
    Ok((metadata.name, metadata.creation_timestamp))
}

#[derive(Deserialize)]
struct CustomObject<T> {
    spec: T,
}

#[derive(Deserialize)]
struct Named {
    metadata: ObjectMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectMetadata {
    name: String,
    #[serde(default)]
    creation_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PoolSpec {
    selector: Selector,
    target_ports: Vec<TargetPort>,
    app_protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TargetPort {
    number: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct PoolRef {
    group: Option<String>,
    name: String,
}

impl PoolRef {
    /// True if the reference is to this pool, in either group that pools were in: the older group's
    /// objectives often name it.
    fn is(&self, pool: &str) -> bool {
        let group = self.group.as_deref().unwrap_or(POOL_GROUP);
        self.name == pool && [POOL_GROUP, "inference.networking.x-k8s.io"].contains(&group)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectiveSpec {
    pool_ref: PoolRef,
    priority: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RewriteSpec {
    pool_ref: Option<PoolRef>,
    #[serde(default)]
    rules: Vec<RuleSpec>,
}

#[derive(Deserialize)]
struct RuleSpec {
    #[serde(default)]
    matches: Vec<ModelMatch>,
    #[serde(default)]
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct ModelMatch {
    model: Exact,
}

#[derive(Deserialize)]
struct Exact {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    model_rewrite: String,
    weight: Option<u32>,
}

impl RuleSpec {
    fn read(self) -> Result<RewriteRule, String> {
        let models: Vec<_> = self.matches.into_iter().map(|it| it.model.value).collect();
        let target = |it: Target| {
            // Weights are given to all targets or to none.
            let weight = it.weight.unwrap_or(1).clamp(1, REWRITE_WEIGHT_MAX);
            RewriteTarget { model: it.model_rewrite, weight }
        };
        let targets: Vec<_> = self.targets.into_iter().map(target).collect();
        let fits = |name: &str| (1..=MODEL_NAME_MAX).contains(&name.len());
        let names = models.iter().chain(targets.iter().map(|target| &target.model));
        if models.len().max(targets.len()) > REWRITE_NAMES_MAX || targets.is_empty() {
            return Err(format!(
                "invalid rule: must have 1 to {REWRITE_NAMES_MAX} targets, and no more matches than that"
            ));
        }
        match names.into_iter().find(|name| !fits(name)) {
            None => Ok(RewriteRule { models, targets }),
            Some(name) => {
                let len = name.len();
                Err(format!("invalid model name of {len} bytes: must have 1 to {MODEL_NAME_MAX}"))
            }
        }
    }
}
