//! What clients ask for.

use std::{num::NonZeroU16, time::Duration};

use picker_core::{
    Instant,
    flow::{
        BandConfig, FairnessId, FairnessPolicy, FairnessWeight, FlowConfig, FlowKey, Limits,
        Priority, Ticket, TicketId, TokenCost, Ttl,
    },
    ledger::{Account, EndpointKey},
};

use crate::{
    chance::Chance,
    pool::{PROMPT_MAX, prefill},
};

pub(crate) const BANDS: [Priority; 3] = [Priority(10), Priority(0), Priority(-1)];

/// Output tokens of the longest answer.
pub(crate) const OUTPUT_MAX: u32 = 50;

/// A request, with what will be known of it only later.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: Ticket,
    /// Who answers it, or would now.
    pub(crate) endpoint: EndpointKey,
    /// Who computes its prompt, if that is another.
    pub(crate) prefill: Option<EndpointKey>,
    pub(crate) progress: Progress,
    /// Prompt tokens that are not cached where they are computed.
    pub(crate) uncached: u32,
    pub(crate) output: u32,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No further than that.
    Asked,
    /// It was granted a place, on a pool that was gone then.
    Granted,
    /// Its answer has begun.
    Begun,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// Tenants of all priorities, some with little patience.
    Mixed,
    /// Tenants of one priority who all wait as long as it takes: so they wait side by side for long,
    /// and what each gets can be compared.
    Patient,
}

impl Asked {
    pub(crate) fn any(chance: &mut Chance, crowd: Crowd, id: TicketId, now: Instant) -> Self {
        let prompt_tokens = 1 + chance.below(PROMPT_MAX);
        let tenant = chance.one_of(&["a", "b", "c"]).unwrap();
        let (priority, ttl) = match crowd {
            Crowd::Patient => (BANDS[0], None),
            Crowd::Mixed => (
                chance.one_of(&BANDS).unwrap(),
                chance.one_of(&[None, None, Some(Duration::from_millis(70))]).unwrap(),
            ),
        };
        let ticket = Ticket {
            id,
            flow: FlowKey { id: FairnessId::new(tenant), priority },
            bytes: 100,
            prompt_tokens,
            // One tenant's prompts are never known before they are cached.
            uncached_tokens: match tenant {
                "a" => prompt_tokens,
                _ => chance.below(prompt_tokens + 1),
            },
            arrived: now,
            ttl,
            slo_ttft: None,
        };
        let uncached = match tenant {
            "a" => 0,
            _ => chance.below(prompt_tokens + 1),
        };
        Self {
            ticket,
            endpoint: EndpointKey(u64::from(id.request % 3)),
            prefill: chance.one_in(3).then(|| prefill(chance)),
            progress: Progress::Asked,
            uncached,
            output: chance.below(OUTPUT_MAX + 1),
        }
    }

    /// What a ledger counts of it while it runs.
    pub(crate) fn accounts(&self, counts_tokens: bool) -> impl Iterator<Item = Account> {
        let tokens =
            if counts_tokens && self.progress != Progress::Begun { self.uncached } else { 0 };
        let account =
            |endpoint, tokens| Account { endpoint, requests: 1, tokens, ..Account::default() };
        let prefill = self.prefill.filter(|_| self.progress != Progress::Begun);
        let decode = account(self.endpoint, if self.prefill.is_some() { 0 } else { tokens });
        prefill.map(|endpoint| account(endpoint, tokens)).into_iter().chain([decode])
    }
}

/// Any fairness, with or without limits that are met.
pub(crate) fn any_config(chance: &mut Chance, crowd: Crowd) -> FlowConfig {
    let weights = [("b", 2), ("c", 4)].map(|(id, weight)| {
        (FairnessId::new(id), FairnessWeight(NonZeroU16::new(weight).unwrap()))
    });
    let cost = TokenCost { weights: weights.into(), ..TokenCost::default() };
    let fairness =
        [FairnessPolicy::GlobalStrict, FairnessPolicy::RoundRobin, FairnessPolicy::TokenFair(cost)];
    let (ttl, tight) = match crowd {
        Crowd::Patient => (Ttl::Unlimited, false),
        Crowd::Mixed => {
            let ms = u64::from(200 + chance.below(3_000));
            (Ttl::Within(Duration::from_millis(ms)), chance.one_in(4))
        }
    };
    FlowConfig {
        limits: Limits { max_requests: tight.then_some(8), max_bytes: None },
        default_ttl: ttl,
        no_endpoint_ttl: Some(Ttl::Within(Duration::from_millis(500))),
        default_band: BandConfig {
            fairness: chance.one_of(&fairness).unwrap(),
            ..BandConfig::default()
        },
        displace: true,
        ..FlowConfig::default()
    }
}
