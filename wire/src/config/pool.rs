//! The pools of a plugin instance, each with its EndpointPickerConfig.

use picker_core::{ModelRewrite, Objective, ToolsAt, flow::FlowConfig};

use super::{
    At, ConfigError, Match,
    at::Object,
    epp::{self, Epp},
    identity, matching,
    pull::{self, PullConfig},
    rewrites,
    share::Share,
};
use crate::{
    body::{Api, Parser},
    snapshot::POOL_NAME_MAX,
};

/// Pools of one plugin instance. Each worker keeps a prefix index of some megabytes for each, and
/// looks at all of them every second.
const POOLS_MAX: usize = 64;

/// Settings of one pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Name of the pool, as the scraper gives it too.
    pub name: String,
    /// Requests that are for the pool.
    pub matches: Match,
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

/// Settings of a pool besides its EndpointPickerConfig.
#[derive(Clone, Default)]
struct Beside {
    objectives: Vec<Objective>,
    model_rewrites: Vec<ModelRewrite>,
    share: Share,
    tools_at: Option<ToolsAt>,
}

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
    let count = pools.list()?.len();
    if !(1..=POOLS_MAX).contains(&count) {
        return Err(pools.refuse_length(count, &format!("1 to {POOLS_MAX}")));
    }
    let mut earlier: Vec<(String, Match)> = Vec::new();
    pools.each(|entry| {
        let pool = pool(entry, &beside)?;
        let hidden = earlier.iter().find(|earlier| object.is_sound() && hides(earlier, &pool));
        if let Some((name, _)) = hidden {
            return Err(entry.problem(format!(
                "must not stand behind {name:?}, which has its name or leaves it no request; \
                 allowed: pools with names of their own, and one that matches everything as the last"
            )));
        }
        earlier.push((pool.name.clone(), pool.matches.clone()));
        Ok(pool)
    })
}

/// True if a pool takes the name or every request of one behind it.
fn hides((name, matches): &(String, Match), pool: &PoolConfig) -> bool {
    *name == pool.name || *matches == Match::default()
}

fn pool(at: &At<'_>, common: &Beside) -> Result<PoolConfig, ConfigError> {
    let keys =
        ["name", "match", "config", "objectives", "modelRewrites", "gatewayShare", "toolsAt"];
    let entry = at.object(&keys)?;
    let name = entry.read("name", "default", name)?;
    let matches = entry.read("match", Match::default(), matching::read)?;
    let beside = common.clone().read(&entry)?;
    let epp = match entry.get("config") {
        Some(at) => epp::read_strict(&at, beside.share)?,
        None => epp::read(&Object::absent(), beside.share)?,
    };
    Ok(PoolConfig::new(name.to_owned(), matches, epp, beside))
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
    /// True if the pool reads the bodies of requests of this API; the others go by load.
    #[must_use]
    pub fn reads(&self, api: Api) -> bool {
        self.parsers.is_empty() || self.parsers.contains(&api.parser())
    }

    fn new(name: String, matches: Match, epp: Epp, beside: Beside) -> Self {
        Self {
            name,
            matches,
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
