//! The endpoints, as snapshots describe them: what they take, and whether there are any.

use std::{net::SocketAddr, time::Duration};

use picker_core::{
    Config, Decider, Disagg, Endpoint, Filter, Handler, Health, Incarnation, Objective, Profile,
    Role, Scheduling, Snapshot, WeightedScorer,
    ledger::{Accounts, EndpointKey},
    saturation::{Concurrency, ConcurrencyMode, Detector},
};

use crate::{chance::Chance, request::Crowd};

/// Prompt tokens of the longest request.
pub(crate) const PROMPT_MAX: u32 = 100;

/// The time that an endpoint is expected to take for so much of a prompt, as long as no first token
/// has shown otherwise.
pub(crate) fn takes(tokens: u32) -> Duration {
    Duration::from_secs_f64(f64::from(tokens) / 15_928.0)
}

/// The load that one endpoint takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    Requests(u32),
    Tokens(u32),
}

/// Requests and tokens in flight on the endpoints of one stage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    pub(crate) requests: u32,
    pub(crate) tokens: u32,
}

/// Endpoints that answer, and some that compute prompts for them, or none; all come and go together.
pub(crate) struct Pool {
    size: Size,
    pub(crate) decode: Vec<SocketAddr>,
    prefill: Vec<SocketAddr>,
    scheduling: Scheduling,
    /// True if workers count prompt tokens.
    pub(crate) counts_tokens: bool,
    /// None until the first snapshot is announced.
    pub(crate) has_endpoints: Option<bool>,
}

impl Pool {
    pub(crate) fn any(chance: &mut Chance, crowd: Crowd) -> Self {
        let addresses = |stage: u8, count: u32| {
            (1..=count).map(|last| SocketAddr::from(([10, 0, stage, last as u8], 8000))).collect()
        };
        let (decode, prefill) = match crowd {
            Crowd::Patient => (1 + chance.below(3), chance.below(2)),
            Crowd::Mixed => (3, if chance.one_in(2) { 2 } else { 0 }),
        };
        let size = if crowd == Crowd::Patient {
            Size::Requests(1)
        } else if chance.one_in(3) {
            Size::Tokens(20 + chance.below(3 * PROMPT_MAX))
        } else {
            Size::Requests(1 + chance.below(4))
        };
        let scheduling = any_scheduling(chance, prefill > 0);
        let (decode, prefill) = (addresses(0, decode), addresses(1, prefill));
        let has_endpoints = None;
        let mut pool =
            Self { size, decode, prefill, scheduling, counts_tokens: false, has_endpoints };
        pool.counts_tokens = pool.config().counts_tokens();
        pool
    }

    /// Takes little from now on.
    pub(crate) fn narrow(&mut self) {
        self.size = match self.size {
            Size::Requests(_) => Size::Requests(1),
            Size::Tokens(_) => Size::Tokens(50),
        };
    }

    /// Settings by which workers see what the pool takes.
    pub(crate) fn config(&self) -> Config {
        let detector = match self.size {
            Size::Requests(max_requests) => {
                let mode = ConcurrencyMode::Requests;
                Concurrency { max_requests, mode, ..Concurrency::default() }
            }
            Size::Tokens(most) => {
                let (max_tokens, mode) = (most.into(), ConcurrencyMode::Tokens);
                Concurrency { max_tokens, mode, ..Concurrency::default() }
            }
        };
        let scheduling = self.scheduling.clone();
        Config { detector: Detector::Concurrency(detector), scheduling, ..Config::default() }
    }

    /// The pool as it is to be from now on.
    pub(crate) fn snapshot(&self, has_endpoints: bool, objectives: Vec<Objective>) -> Snapshot {
        let endpoint = |role: &str, address: SocketAddr| Endpoint {
            address,
            health: Health::Up,
            metrics: None,
            labels: vec![(Role::LABEL.to_owned(), role.to_owned())],
            incarnation: Incarnation::default(),
        };
        let decode = self.decode.iter().map(|it| endpoint("decode", *it));
        let prefill = self.prefill.iter().map(|it| endpoint("prefill", *it));
        let endpoints = decode.chain(prefill).filter(|_| has_endpoints).collect();
        Snapshot { endpoints, objectives, ..Snapshot::default() }
    }

    /// True if room is measured in tokens.
    pub(crate) fn is_full_of_tokens(&self) -> bool {
        matches!(self.size, Size::Tokens(_))
    }

    /// True if prompts may be computed by other endpoints than those that answer.
    pub(crate) fn is_apart(&self) -> bool {
        !self.prefill.is_empty()
    }

    /// True if the pool is known to have no endpoints.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_endpoints == Some(false)
    }

    /// True if that much in flight is more than the pool takes. The last request that goes by tokens
    /// may pass the limit of its stage by its own weight.
    pub(crate) fn is_overrun(&self, accounts: &Accounts) -> bool {
        self.stages(accounts).into_iter().any(|(endpoints, in_flight)| match self.size {
            Size::Requests(most) => in_flight.requests > endpoints * most,
            Size::Tokens(most) => in_flight.tokens >= endpoints * most + PROMPT_MAX,
        })
    }

    /// The endpoints of both stages.
    pub(crate) fn endpoints(&self) -> Vec<SocketAddr> {
        self.decode.iter().chain(&self.prefill).copied().collect()
    }

    /// True if another request may go.
    pub(crate) fn has_room(&self, accounts: &Accounts) -> bool {
        let has_room = |(endpoints, in_flight): (u32, InFlight)| match self.size {
            Size::Requests(most) => in_flight.requests < endpoints * most,
            Size::Tokens(most) => in_flight.tokens < endpoints * most,
        };
        self.has_endpoints == Some(true) && self.stages(accounts).into_iter().all(has_room)
    }

    /// The stages that there are, with the number of endpoints and what is in flight there.
    fn stages(&self, accounts: &Accounts) -> Vec<(u32, InFlight)> {
        let stages = [&self.decode, &self.prefill].into_iter().filter(|stage| !stage.is_empty());
        let sum = |stage: &Vec<SocketAddr>| {
            let accounts = stage.iter().map(|it| accounts.for_endpoint(EndpointKey::from(*it)));
            accounts.fold(InFlight::default(), |sum, account| InFlight {
                requests: sum.requests + account.requests,
                tokens: sum.tokens + account.tokens,
            })
        };
        stages.map(|stage| (stage.len() as u32, sum(stage))).collect()
    }
}

/// Profiles that go by nothing, by what is cached or by tokens.
fn any_scheduling(chance: &mut Chance, is_apart: bool) -> Scheduling {
    let scorers: Vec<WeightedScorer> = match chance.below(4) {
        0 => Vec::new(),
        1 => Profile::default().scorers,
        _ => Profile::of_the_epp().scorers,
    };
    let profile = |name: &str, role| Profile {
        filters: vec![Filter::Role(role)],
        ..Profile::scored(name, scorers.clone())
    };
    if !is_apart {
        return profile("default", Role::Decode).into();
    }
    let decider = match chance.below(3) {
        0 => Decider::Always,
        _ => Decider::PrefixBased { uncached: 1 + chance.below(PROMPT_MAX / 2), prompt: 10 },
    };
    let disagg = Disagg { prefill_decider: Some(decider), ..Disagg::default() };
    Scheduling {
        profiles: vec![profile("decode", Role::Decode), profile("prefill", Role::Prefill)],
        handler: Handler::Disagg(disagg),
    }
}
