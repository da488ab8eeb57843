//! The pools of a plugin instance, each with its EndpointPickerConfig.

use std::collections::BTreeSet;

use picker_core::{ModelRewrite, Objective, ToolsAt, flow::FlowConfig};

use super::{
    At, ConfigError, Match,
    at::Object,
    epp::{self, Epp},
    fallback::{self, Fallback},
    identity, matching,
    pull::{self, PullConfig},
    rewrites,
    share::Share,
};
use crate::{
    body::{Api, Parser},
    snapshot::POOL_NAME_MAX,
};

/// Pools of one plugin instance: their configurations are in every worker. A worker takes part in those that it has requests
/// for, so the others cost it their configuration alone.
pub const POOLS_MAX: usize = 2_048;

/// Pools of one plugin instance where snapshots are fetched: one of the workers asks for each of them ten times a second.
const PULLED_MAX: usize = 64;

/// Settings of one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Name of the pool, as the scraper gives it too.
    pub name: String,
    /// Requests that are for the pool.
    pub matches: Match,
    /// Pool that takes its requests while it can't.
    pub fallback: Option<Fallback>,
    /// Choice of its endpoints.
    pub picking: Picking,
    /// Rules by which endpoints are scored and picked, and the pool's fullness is measured.
    pub scheduler: picker_core::Config,
    /// Blocks of 256 bytes of a prompt that are hashed; bytes beyond them do not count.
    pub prompt_blocks_max: u32,
    /// Place of tools in the models' chat templates; `None` where answers are to teach it.
    pub tools_at: Option<ToolsAt>,
    /// Rules by which requests are held; `None` without the feature gate `flowControl`.
    pub flow: Option<FlowConfig>,
    /// Source of its snapshots, if they are fetched.
    pub pull: Option<PullConfig>,
    /// True if the model server hears of a request's priority.
    pub propagate_priority: bool,
    /// Parsers of bodies that are read; all of them if the list is empty.
    pub parsers: Vec<Parser>,
    /// Objectives that are always there. These come before those of the same name in the snapshot.
    pub objectives: Vec<Objective>,
    /// Model rewrites that are always there. These count as older than those in the snapshot.
    pub model_rewrites: Vec<ModelRewrite>,
}

/// Choice of a pool's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Picking {
    /// Made here, of those that snapshots name.
    #[default]
    Here,
    /// Left to Envoy, within the cluster of the route: the pool has no endpoints of ours.
    Envoy,
}

/// Settings of a pool besides its EndpointPickerConfig.
#[derive(Clone, Default)]
struct Beside {
    objectives: Vec<Objective>,
    model_rewrites: Vec<ModelRewrite>,
    share: Share,
    tools_at: Option<ToolsAt>,
}

/// Keys of an entry of `pools`.
const ENTRY_KEYS: [&str; 9] = [
    "name",
    "match",
    "config",
    "fallback",
    "unpicked",
    "objectives",
    "modelRewrites",
    "gatewayShare",
    "toolsAt",
];

/// Names of the places that tools may have in a chat template.
const TOOLS_AT: [(&str, Option<ToolsAt>); 4] = [
    ("learnt", None),
    ("front", Some(ToolsAt::Front)),
    ("afterSystem", Some(ToolsAt::AfterSystem)),
    ("beforeLastUser", Some(ToolsAt::BeforeLastUser)),
];

/// Reads the entries of `pools`, or else the EndpointPickerConfig at top level.
pub(super) fn read(object: &Object<'_>) -> Result<Vec<PoolConfig>, ConfigError> {
    let mut pools = pools(object)?;
    if let Some(at) = object.get("pull") {
        if pools.len() > PULLED_MAX {
            let rule = format!(
                "must not go with {} pools; allowed: at most {PULLED_MAX}, or snapshots that are pushed",
                pools.len()
            );
            object.settle(Err(at.problem(rule)), ())?;
        }
        for pool in &mut pools {
            pool.pull = object.settle(pull::read(&at, &pool.name).map(Some), None)?;
        }
    }
    Ok(pools)
}

fn pools(object: &Object<'_>) -> Result<Vec<PoolConfig>, ConfigError> {
    let beside = Beside::default().read(object)?;
    let Some(pools) = object.get("pools") else {
        let epp = epp::read(object, beside.share)?;
        return Ok(vec![PoolConfig::new("default".to_owned(), Match::default(), epp, beside)]);
    };
    for at in epp::KEYS.iter().chain(&epp::OLDER_KEYS).filter_map(|key| object.get(key)) {
        let rule = "must not stand beside pools; allowed: this within pools[…].config, or no pools";
        object.settle(Err(at.problem(rule)), ())?;
    }
    let entries = pools.long_list()?;
    let count = entries.len();
    if !(1..=POOLS_MAX).contains(&count) {
        return Err(pools.refuse_length(count, &format!("1 to {POOLS_MAX}")));
    }
    let fallbacks: BTreeSet<&str> = entries.iter().filter_map(fallback::named).collect();
    let mut earlier = EarlierPools::default();
    let read = pools.each_of(entries, |entry| {
        let pool = pool(entry, &beside)?;
        let is_fallback = fallbacks.contains(pool.name.as_str());
        let hiding = earlier.hiding(&pool.name, is_fallback).filter(|_| object.is_sound());
        if let Some(name) = hiding {
            return Err(entry.problem(format!(
                "must not stand behind {name:?}, which has its name or leaves it no request; \
                 allowed: pools with names of their own, and one that matches everything as the last"
            )));
        }
        earlier.add(&pool);
        Ok(pool)
    })?;
    if object.is_sound() {
        let links = read.iter().map(|pool| (pool.name.as_str(), pool.fallback.as_ref()));
        object.settle(fallback::check(&links.collect::<Vec<_>>(), &pools), ())?;
    }
    Ok(read)
}

/// Pools in front of one that is read.
#[derive(Default)]
struct EarlierPools {
    names: BTreeSet<String>,
    /// The pool that takes every request.
    whole: Option<String>,
}

impl EarlierPools {
    /// Returns the pool that takes the name or every request of one behind it. A fallback has other requests.
    fn hiding(&self, name: &str, is_fallback: bool) -> Option<&str> {
        let whole = self.whole.as_ref().filter(|_| !is_fallback);
        self.names.get(name).or(whole).map(String::as_str)
    }

    fn add(&mut self, pool: &PoolConfig) {
        self.names.insert(pool.name.clone());
        if pool.matches == Match::default() {
            self.whole.get_or_insert_with(|| pool.name.clone());
        }
    }
}

fn pool(at: &At<'_>, common: &Beside) -> Result<PoolConfig, ConfigError> {
    let entry = at.object(&ENTRY_KEYS)?;
    let name = entry.read("name", "default", name)?;
    let matches = entry.read("match", Match::default(), matching::read)?;
    let beside = common.clone().read(&entry)?;
    let epp = match entry.get("config") {
        Some(at) => epp::read_strict(&at, beside.share)?,
        None => epp::read(&Object::absent(), beside.share)?,
    };
    let fallback = entry.read("fallback", None, |at| fallback::read(at).map(Some))?;
    let unpicked = entry.read("unpicked", false, At::flag)?;
    let picking = if unpicked { Picking::Envoy } else { Picking::Here };
    if let Some(at) = ["config", "fallback"].into_iter().find_map(|key| entry.get(key))
        && unpicked
    {
        let rule = "must not stand beside unpicked, as no endpoint of that pool is chosen";
        return Err(at.problem(rule));
    }
    Ok(PoolConfig { fallback, picking, ..PoolConfig::new(name.to_owned(), matches, epp, beside) })
}

impl Beside {
    /// Reads settings, which take the place of the earlier ones.
    fn read(self, object: &Object<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            objectives: object.read("objectives", self.objectives, identity::objectives)?,
            model_rewrites: object.read("modelRewrites", self.model_rewrites, rewrites::read)?,
            share: object.read("gatewayShare", self.share, Share::read)?,
            tools_at: object.read("toolsAt", self.tools_at, |at| at.one_of(&TOOLS_AT))?,
        })
    }
}

impl PoolConfig {
    /// True if its endpoints are left to Envoy.
    #[must_use]
    pub fn is_unpicked(&self) -> bool {
        self.picking == Picking::Envoy
    }

    /// True if the pool reads the bodies of requests of this API; the others go by load.
    #[must_use]
    pub fn reads(&self, api: Api) -> bool {
        self.parsers.is_empty() || self.parsers.contains(&api.parser())
    }

    fn new(name: String, matches: Match, epp: Epp, beside: Beside) -> Self {
        Self {
            name,
            matches,
            fallback: None,
            picking: Picking::Here,
            scheduler: epp.scheduler,
            prompt_blocks_max: epp.prompt_blocks_max,
            tools_at: beside.tools_at,
            flow: epp.flow,
            pull: None,
            propagate_priority: epp.propagate_priority,
            parsers: epp.parsers,
            objectives: beside.objectives,
            model_rewrites: beside.model_rewrites,
        }
    }
}

/// Reads a name that is also a part of keys in Envoy's shared data.
fn name<'a>(at: &At<'a>) -> Result<&'a str, ConfigError> {
    let name = at.text()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() <= POOL_NAME_MAX && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(at.refuse("1 to 63 of A-Z a-z 0-9 . _ -"))
}
