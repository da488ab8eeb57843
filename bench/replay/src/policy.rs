//! The policies, a file each.

mod aibrix;
mod cache_aware;
mod chwbl;
mod dynamo;
mod least_request;
mod llm_d_blend;
mod llm_d_token_aware;
mod lmetric;
mod random;
mod round_robin;
mod smg;

use picker_core::{Config, Profile};

use crate::{
    fleet::Pod,
    peer::{Peer, Policy},
    picker::{AnswerSign, Picker, WORKERS},
    router::Router,
};

/// A policy that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    Random,
    RoundRobin,
    LeastRequest,
    Chwbl,
    CacheAware,
    Smg,
    Aibrix,
    LlmDBlend,
    LlmDTokenAware,
    Dynamo,
    LMetric,
    Picker,
    PickerByHeaders,
    PickerTtft,
}

impl Contender {
    /// All contenders, ours last.
    pub(crate) const ALL: [Self; 14] = [
        Self::Random,
        Self::RoundRobin,
        Self::LeastRequest,
        Self::Chwbl,
        Self::CacheAware,
        Self::Smg,
        Self::Aibrix,
        Self::LlmDBlend,
        Self::LlmDTokenAware,
        Self::Dynamo,
        Self::LMetric,
        Self::Picker,
        Self::PickerByHeaders,
        Self::PickerTtft,
    ];

    /// Returns the name that tables and plots have.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RoundRobin => "round robin",
            Self::LeastRequest => "least request",
            Self::Chwbl => "CHWBL",
            Self::CacheAware => "SGLang cache_aware",
            Self::Smg => "SMG cache_aware",
            Self::Aibrix => "AIBrix prefix-cache",
            Self::LlmDBlend => "llm-d 3,2,2",
            Self::LlmDTokenAware => "llm-d token-aware",
            Self::Dynamo => "Dynamo KV",
            Self::LMetric => "LMetric",
            Self::Picker => "llm-picker, 2,2,3",
            Self::PickerByHeaders => "llm-picker, told by headers",
            Self::PickerTtft => "llm-picker",
        }
    }

    /// Returns a gateway with this policy.
    pub(crate) fn router(self, pods: &[Pod], seed: u64) -> Box<dyn Router> {
        let policy: Box<dyn Policy> = match self {
            Self::Random => Box::new(random::Random),
            Self::RoundRobin => Box::new(round_robin::RoundRobin::default()),
            Self::LeastRequest => Box::new(least_request::LeastRequest),
            Self::Chwbl => Box::new(chwbl::Chwbl::new(pods.len())),
            Self::CacheAware => Box::new(cache_aware::CacheAware),
            Self::Smg => Box::new(smg::Smg),
            Self::Aibrix => Box::new(aibrix::Aibrix),
            Self::LlmDBlend => Box::new(llm_d_blend::LlmDBlend),
            Self::LlmDTokenAware => Box::new(llm_d_token_aware::LlmDTokenAware),
            Self::Dynamo => Box::new(dynamo::Dynamo),
            Self::LMetric => Box::new(lmetric::LMetric),
            Self::Picker => return Box::new(Picker::new(&epp_default(), WORKERS, pods, seed)),
            Self::PickerByHeaders => {
                let picker = Picker::new(&Config::default(), WORKERS, pods, seed);
                return Box::new(picker.going_by(AnswerSign::Headers));
            }
            Self::PickerTtft => {
                return Box::new(Picker::new(&Config::default(), WORKERS, pods, seed));
            }
        };
        Box::new(Peer::new(policy, pods, seed))
    }
}

/// Returns the configuration by which an EPP without one would choose.
fn epp_default() -> Config {
    Config { scheduling: Profile::of_the_epp().into(), ..Config::default() }
}
