//! The endpoints, as the workers see them: what they take, and whether there are any.

use std::cell::Cell;

use engine::{
    NoPick,
    cluster::{Admission, Capacity, Gauge, Target},
    ledger::{EndpointKey, Ledger},
    saturation::{Concurrency, ConcurrencyMode, Detector, Load, Room},
};

use crate::{chance::Chance, request::Crowd};

/// Prompt tokens of the longest request.
pub(crate) const PROMPT_MAX: u32 = 100;

/// How much the pool takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    Requests(u32),
    Tokens(u32),
}

/// Three endpoints that come and go together.
pub(crate) struct Pool {
    pub(crate) size: Size,
    pub(crate) is_empty: Cell<bool>,
}

impl Pool {
    /// What a request is told that could go now, with so many uncached tokens.
    pub(crate) fn admit(&self, request: u32, tokens: u32) -> Admission<()> {
        if self.is_empty.get() {
            return Admission::Refuse(NoPick::NoEndpoints);
        }
        let load = matches!(self.size, Size::Tokens(_)).then_some(tokens);
        let endpoint = EndpointKey(u64::from(request % 3));
        Admission::Send(Target { endpoint, tokens, load, announced: true }, ())
    }

    /// Whether that much in flight is more than it takes. The last request that goes by tokens may
    /// pass the limit by its own weight.
    pub(crate) fn is_overrun(&self, requests: usize, tokens: u32) -> bool {
        match self.size {
            Size::Requests(most) => requests > most as usize,
            Size::Tokens(most) => tokens >= most + PROMPT_MAX,
        }
    }

    /// Whether another request may go.
    pub(crate) fn has_room(&self, requests: usize, tokens: u32) -> bool {
        match self.size {
            _ if self.is_empty.get() => false,
            Size::Requests(most) => requests < most as usize,
            Size::Tokens(most) => tokens < most,
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

impl Gauge for Pool {
    fn capacity(&self, ledger: &Ledger) -> Capacity {
        if self.is_empty.get() {
            return Capacity::Empty;
        }
        Capacity::Serving(match self.size {
            Size::Requests(most) => {
                let in_flight = u32::try_from(ledger.accounts.requests()).unwrap();
                Room::of(most.saturating_sub(in_flight))
            }
            Size::Tokens(most) => {
                let (max_tokens, mode) = (most.into(), ConcurrencyMode::Tokens);
                let detector = Concurrency { max_tokens, mode, ..Concurrency::default() };
                let tokens = ledger.accounts.iter().map(|account| u64::from(account.tokens)).sum();
                let load = Load { in_flight_tokens: tokens, ..Load::default() };
                Detector::Concurrency(detector).room(&[load])
            }
        })
    }
}
