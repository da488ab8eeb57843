//! The requests of clients.

use std::{net::SocketAddr, num::NonZeroU16, time::Duration};

use picker_core::{
    BlockHash, Chain, InferenceRequest, Instant, RequestId, SchedulingResult,
    flow::{
        BandConfig, Eviction, FairnessId, FairnessPolicy, FairnessWeight, FlowConfig, FlowKey,
        Limits, Priority, Ticket, TokenCost, Ttl,
    },
    ledger::{Account, EndpointKey},
    worker::PendingRequest,
};

use crate::{
    chance::Chance,
    pool::{PROMPT_MAX, Pool},
};

pub(crate) const BANDS: [Priority; 3] = [Priority(10), Priority(0), Priority(-1)];

/// Objectives that clients name, with their bands; a request without one has priority 0.
pub(crate) const OBJECTIVES: [(&str, Priority); 2] = [("urgent", BANDS[0]), ("batch", BANDS[2])];

/// Output tokens of the longest answer.
pub(crate) const OUTPUT_MAX: u32 = 50;

/// A request, with what is known of it only later.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) request: InferenceRequest,
    pub(crate) flow: FlowKey,
    pub(crate) ttl: Option<Duration>,
    pub(crate) arrived: Instant,
    /// The ticket that its worker handed in, if it was held.
    pub(crate) ticket: Option<Ticket>,
    /// The place that it went to, if it did.
    pub(crate) place: Option<Place>,
    pub(crate) progress: Progress,
    pub(crate) output: u32,
    /// True if no other request shares a block of its prompt.
    pub(crate) is_unique: bool,
}

/// The place of a request, by its scheduling result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The endpoint that answers.
    pub(crate) endpoint: SocketAddr,
    /// The endpoint that computes its prompt, if that is another.
    pub(crate) prefill: Option<SocketAddr>,
    /// Prompt tokens that are not cached where they are computed.
    pub(crate) uncached: u32,
}

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No further than that.
    Asked,
    /// A place was granted, on a pool that was gone then.
    Granted,
    /// The answer has begun.
    Begun,
}

/// The tenants of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// Tenants of all priorities, some with little patience.
    Mixed,
    /// Tenants of one priority that all wait as long as it takes: so they wait side by side for long,
    /// and what each gets can be compared.
    Patient,
}

/// Prompts that requests share heads of, as the kinds of their blocks.
pub(crate) fn shared_chain(kinds: &[u8]) -> Chain {
    let name = |kinds: &[u8]| kinds.iter().fold(1, |name, kind| name * 8 + u64::from(*kind));
    chain((1..=kinds.len()).map(|end| name(&kinds[..end])))
}

/// A prompt that no other request has.
fn unique_chain(id: RequestId, blocks: u32) -> Chain {
    chain((1..=blocks).map(|block| (1 << 40) + u64::from(id.0) * 8 + u64::from(block)))
}

/// Names are spread over all bits, as hashes are.
fn chain(names: impl Iterator<Item = u64>) -> Chain {
    let spread = |name: u64| BlockHash((name ^ 0x5DEE_CE66).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let hashes: Vec<BlockHash> = names.map(spread).collect();
    Chain { blocks: hashes.len() as u32, hashes }
}

/// The objective that a client names, if it does.
pub(crate) fn any_objective(chance: &mut Chance, crowd: Crowd) -> Option<&'static str> {
    match crowd {
        Crowd::Patient => Some(OBJECTIVES[0].0),
        Crowd::Mixed => match chance.below(3) {
            0 => None,
            other => Some(OBJECTIVES[other as usize - 1].0),
        },
    }
}

impl Asked {
    pub(crate) fn any(
        chance: &mut Chance,
        crowd: Crowd,
        (id, priority): (RequestId, Priority),
        arrived: Instant,
    ) -> Self {
        let tenant = chance.one_of(&["a", "b", "c"]).unwrap();
        let ttl = match crowd {
            Crowd::Patient => None,
            Crowd::Mixed => chance.one_of(&[None, None, Some(Duration::from_millis(70))]).unwrap(),
        };
        // One tenant's prompts are few, and cached as soon as one of them was sent.
        let kinds = if tenant == "a" { 1 } else { 3 };
        let is_unique = tenant != "a" && chance.one_in(3);
        let chain = if is_unique {
            unique_chain(id, 1 + chance.below(3))
        } else {
            let blocks = chance.below(4);
            shared_chain(&(0..blocks).map(|_| chance.below(kinds) as u8).collect::<Vec<_>>())
        };
        let request = InferenceRequest {
            chain,
            priority,
            prompt_tokens: Some(1 + chance.below(PROMPT_MAX)),
            output_max: Some(OUTPUT_MAX),
            ..InferenceRequest::default()
        };
        Self {
            request,
            flow: FlowKey { id: FairnessId::new(tenant), priority },
            ttl,
            arrived,
            ticket: None,
            place: None,
            progress: Progress::Asked,
            output: chance.below(OUTPUT_MAX + 1),
            is_unique,
        }
    }

    /// The request as its worker reads it.
    pub(crate) fn pending(&self, id: RequestId) -> PendingRequest {
        PendingRequest {
            id,
            request: self.request.clone(),
            flow: self.flow.clone(),
            bytes: 100,
            ttl: self.ttl,
            slo_ttft: None,
        }
    }

    /// Returns the counts of a request that runs, as a ledger has them.
    pub(crate) fn accounts(&self, pool: &Pool) -> impl Iterator<Item = Account> + use<> {
        let Place { endpoint, prefill, uncached } = self.place.unwrap();
        let is_open = self.progress != Progress::Begun;
        let tokens = if pool.counts_tokens && is_open { uncached } else { 0 };
        let account = |endpoint: SocketAddr, tokens| Account {
            endpoint: EndpointKey::from(endpoint),
            requests: 1,
            tokens,
            uncomputed: u32::from(tokens > 0),
            ..Account::default()
        };
        let decode = account(endpoint, if prefill.is_some() { 0 } else { tokens });
        let prefill = prefill.filter(|_| is_open).map(|endpoint| account(endpoint, tokens));
        prefill.into_iter().chain([decode])
    }
}

impl Place {
    pub(crate) fn of(result: &SchedulingResult) -> Self {
        Self {
            endpoint: result.ranked[0],
            prefill: result.computed_apart().map(|prefill| prefill.endpoint),
            uncached: result.computing().uncached_tokens,
        }
    }
}

/// Any fairness, with or without limits that are met. `has_bands` if each priority has a band for
/// good: tokens are charged to bands, and one that appears in between would get another's.
pub(crate) fn any_flow(chance: &mut Chance, crowd: Crowd, has_bands: bool) -> FlowConfig {
    let weights = [("b", 2), ("c", 4)].map(|(id, weight)| {
        (FairnessId::new(id), FairnessWeight(NonZeroU16::new(weight).unwrap()))
    });
    let cost = TokenCost { weights: weights.into(), ..TokenCost::default() };
    let mut fairness = vec![FairnessPolicy::GlobalStrict, FairnessPolicy::RoundRobin];
    fairness.extend(has_bands.then_some(FairnessPolicy::TokenFair(cost)));
    let (ttl, is_tight) = match crowd {
        Crowd::Patient => (Ttl::Unlimited, false),
        Crowd::Mixed => {
            let ms = u64::from(200 + chance.below(3_000));
            (Ttl::Within(Duration::from_millis(ms)), chance.one_in(4))
        }
    };
    FlowConfig {
        limits: Limits { max_requests: is_tight.then_some(8), max_bytes: None },
        default_ttl: ttl,
        no_endpoint_ttl: Some(Ttl::Within(Duration::from_millis(500))),
        default_band: BandConfig {
            fairness: chance.one_of(&fairness).unwrap(),
            ..BandConfig::default()
        },
        displace: true,
        eviction: chance.one_of(&[Eviction::Off, Eviction::Sheddable]).unwrap(),
        ..FlowConfig::default()
    }
}
