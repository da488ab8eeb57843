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
mod sessions;
mod smg;

use picker_core::{Config, Decider, Disagg, Filter, Handler, Profile, Scheduling};

use crate::{
    fleet::{Pod, Role},
    peer::{Peer, Policy, Staged},
    picker::{AnswerSign, Exchange, Picker, WORKERS},
    router::Router,
};

/// A policy that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    Random,
    RoundRobin,
    LeastRequest,
    Sessions,
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
    pub(crate) const ALL: [Self; 15] = [
        Self::Random,
        Self::RoundRobin,
        Self::LeastRequest,
        Self::Sessions,
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
            Self::Sessions => "session stickiness",
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

    /// Returns a gateway of ours that takes part in an exchange, as the one of this number; any other
    /// policy has none.
    pub(crate) fn exchanging(
        self,
        exchange: &Exchange,
        number: usize,
        pods: &[Pod],
        seed: u64,
    ) -> Box<dyn Router> {
        if self.policy(pods).is_some() {
            return self.router(pods, seed);
        }
        let is_staged = pods.iter().any(|pod| pod.role != Role::Both);
        Box::new(self.picker(is_staged, pods, seed).exchanging(exchange.clone(), number))
    }

    /// Returns a gateway with this policy.
    pub(crate) fn router(self, pods: &[Pod], seed: u64) -> Box<dyn Router> {
        let is_staged = pods.iter().any(|pod| pod.role != Role::Both);
        let Some(policy) = self.policy(pods) else {
            return Box::new(self.picker(is_staged, pods, seed));
        };
        if !is_staged {
            return Box::new(Peer::new(policy, pods, seed));
        }
        // What ranks pods by prompts to compute says nothing of those that only answer.
        let decode: Box<dyn Policy> = if self == Self::Random {
            Box::new(random::Random)
        } else if self == Self::RoundRobin {
            Box::new(round_robin::RoundRobin::default())
        } else {
            Box::new(least_request::LeastRequest)
        };
        Box::new(Staged::new(policy, decode, pods, seed))
    }

    /// Returns the policy of a peer; `None` for ours.
    fn policy(self, pods: &[Pod]) -> Option<Box<dyn Policy>> {
        Some(match self {
            Self::Random => Box::new(random::Random),
            Self::RoundRobin => Box::new(round_robin::RoundRobin::default()),
            Self::LeastRequest => Box::new(least_request::LeastRequest),
            Self::Sessions => Box::new(sessions::Sessions::default()),
            Self::Chwbl => Box::new(chwbl::Chwbl::new(pods.len())),
            Self::CacheAware => Box::new(cache_aware::CacheAware),
            Self::Smg => Box::new(smg::Smg),
            Self::Aibrix => Box::new(aibrix::Aibrix),
            Self::LlmDBlend => Box::new(llm_d_blend::LlmDBlend),
            Self::LlmDTokenAware => Box::new(llm_d_token_aware::LlmDTokenAware),
            Self::Dynamo => Box::new(dynamo::Dynamo),
            Self::LMetric => Box::new(lmetric::LMetric),
            Self::Picker | Self::PickerByHeaders | Self::PickerTtft => return None,
        })
    }

    /// Returns our gateway.
    fn picker(self, is_staged: bool, pods: &[Pod], seed: u64) -> Picker {
        let profile = if self == Self::Picker { Profile::of_the_epp() } else { Profile::default() };
        let scheduling = if is_staged { staged(&profile) } else { profile.into() };
        let config = Config { scheduling, ..Config::default() };
        let by_headers = self == Self::PickerByHeaders;
        let sign = if by_headers { AnswerSign::Headers } else { AnswerSign::FirstToken };
        Picker::new(&config, WORKERS, pods, seed).going_by(sign)
    }
}

/// Returns a choice by stages, each by the same scorers.
fn staged(profile: &Profile) -> Scheduling {
    let stage = |role: picker_core::Role, name: &str| Profile {
        name: name.to_owned(),
        filters: vec![Filter::Role(role)],
        ..profile.clone()
    };
    let disagg = Disagg { prefill_decider: Some(Decider::Always), ..Disagg::default() };
    Scheduling {
        profiles: vec![
            stage(picker_core::Role::Decode, &disagg.decode),
            stage(picker_core::Role::Prefill, &disagg.prefill),
        ],
        handler: Handler::Disagg(disagg),
    }
}
