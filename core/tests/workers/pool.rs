//! The endpoints, as the workers see them: what they take, and whether there are any.

use std::{cell::Cell, time::Duration};

use picker_core::{
    PickError,
    ledger::{Accounts, EndpointKey, Ledger, Work},
    saturation::{Budget, Concurrency, ConcurrencyMode, Detector, Load},
    workers::{Admission, Capacity, CapacitySource, Target},
};

use crate::{
    chance::Chance,
    request::{Asked, Crowd},
};

/// Prompt tokens of the longest request.
pub(crate) const PROMPT_MAX: u32 = 100;

/// How long an endpoint takes to compute so much of a prompt.
pub(crate) fn takes(tokens: u32) -> Duration {
    Duration::from_micros(300) * tokens
}

/// How much the pool takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    Requests(u32),
    Tokens(u32),
}

/// What is in flight, over all endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    /// Requests at those that answer.
    pub(crate) decoding: u32,
    /// Requests at those that compute prompts for them.
    pub(crate) prefilling: u32,
    /// Tokens that count as load.
    pub(crate) tokens: u32,
}

/// Endpoints with these keys and above compute prompts; those below answer.
const PREFILL: u64 = 10;

/// One of those that compute prompts.
pub(crate) fn prefill(chance: &mut Chance) -> EndpointKey {
    EndpointKey(PREFILL + u64::from(chance.below(2)))
}

impl InFlight {
    pub(crate) fn of(accounts: &Accounts) -> Self {
        accounts.iter().fold(Self::default(), |mut sum, account| {
            let is_prefill = account.endpoint.0 >= PREFILL;
            *if is_prefill { &mut sum.prefilling } else { &mut sum.decoding } += account.requests;
            sum.tokens += account.tokens;
            sum
        })
    }

    /// Of the stage that has more.
    fn requests(self) -> u32 {
        self.decoding.max(self.prefilling)
    }
}

/// Three endpoints that answer and two that compute prompts, which come and go together.
pub(crate) struct Pool {
    pub(crate) size: Size,
    pub(crate) is_empty: Cell<bool>,
}

impl Pool {
    /// What a request is told that could go now.
    pub(crate) fn admit(&self, asked: &Asked) -> Admission<()> {
        if self.is_empty.get() {
            return Admission::Refuse(PickError::NoEndpoints);
        }
        let Asked { endpoint, prefill, uncached: tokens, .. } = *asked;
        let load = self.counts_tokens().then(|| Work { tokens, takes: takes(tokens) });
        Admission::Send(Target { endpoint, prefill, tokens, load, announced: true }, ())
    }

    /// Whether it goes by tokens.
    pub(crate) fn counts_tokens(&self) -> bool {
        matches!(self.size, Size::Tokens(_))
    }

    /// Whether that much in flight is more than it takes. The last request that goes by tokens may
    /// pass the limit by its own weight.
    pub(crate) fn is_overrun(&self, in_flight: InFlight) -> bool {
        match self.size {
            Size::Requests(most) => in_flight.requests() > most,
            Size::Tokens(most) => in_flight.tokens >= most + PROMPT_MAX,
        }
    }

    /// Whether another request may go.
    pub(crate) fn has_room(&self, in_flight: InFlight) -> bool {
        match self.size {
            _ if self.is_empty.get() => false,
            Size::Requests(most) => in_flight.requests() < most,
            Size::Tokens(most) => in_flight.tokens < most,
        }
    }
}

impl Size {
    pub(crate) fn any(chance: &mut Chance, crowd: Crowd) -> Self {
        if crowd == Crowd::Patient {
            Self::Requests(1 + chance.below(3))
        } else if chance.one_in(3) {
            Self::Tokens(50 + chance.below(10 * PROMPT_MAX))
        } else {
            Self::Requests(1 + chance.below(12))
        }
    }
}

impl CapacitySource for Pool {
    fn capacity(&self, ledger: &Ledger) -> Capacity {
        if self.is_empty.get() {
            return Capacity::Empty;
        }
        let in_flight = InFlight::of(&ledger.accounts);
        Capacity::Serving(match self.size {
            Size::Requests(most) => Budget::for_requests(most.saturating_sub(in_flight.requests())),
            Size::Tokens(most) => {
                let (max_tokens, mode) = (most.into(), ConcurrencyMode::Tokens);
                let detector = Concurrency { max_tokens, mode, ..Concurrency::default() };
                let load = Load { in_flight_tokens: in_flight.tokens.into(), ..Load::default() };
                Detector::Concurrency(detector).room(&[load])
            }
        })
    }
}
