//! The phases of a request.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use picker_core::{
    Instant, SchedulingResult,
    flow::{FlowKey, Priority},
};
use proxy_wasm::types::Action;
use wire::{
    body::{Api, Dialect, Form, OutputWishes},
    response::MadeName,
    tally::{ErrorCode, SetId},
};

use super::response::Response;
use crate::{
    fallback::FellBack, host::Headers, identity::Identity, models::Models, pool::Pool,
    pools::Candidates, refusal::Refusal, reply_to::ReplyTo, routing_headers::RoutingHeaders,
    stats::InFlight,
};

/// Progress of a request.
#[derive(Default)]
pub(super) enum Phase {
    /// The headers have not arrived.
    #[default]
    New,
    /// The body is being buffered, to be read whole.
    Reading(Reading),
    /// The request waits for its turn.
    Held(Held),
    /// The request is on its way to a pool.
    Sent(Box<Sent>),
    /// The request was on its way, and is ended for a more important one.
    Evicted(Box<Sent>),
    /// The request is on its way, and asked no pool for a place.
    Passed,
    /// The same, and its answer names what the pod keeps.
    Naming(Box<Naming>),
    /// The request was answered from here, and well.
    Answered,
    /// The request will be answered from here, with an error.
    Refusing(Box<Refusing>),
    /// The request was answered from here, with an error.
    Refused(RefusedRequest),
}

/// A request with known headers. Boxed once, and handed from phase to phase.
pub(super) struct Asked {
    pub(super) identity: Identity,
    pub(super) routing: RoutingHeaders,
    pub(super) dialect: Dialect,
    pub(super) received_at: Instant,
    pub(super) reply_to: ReplyTo,
    /// The pools that it may be for.
    pub(super) candidates: Candidates,
    /// The models that its path names; absent where only its body may.
    pub(super) named: Option<Models>,
    /// True if the pod that answers keeps something, which the answer names.
    pub(super) keeps: bool,
    /// Its way from its own pool; `None` where that takes it.
    pub(super) fell_back: Option<FellBack>,
    /// Looked up once: what it waits by is what it is charged by, whatever snapshots say meanwhile.
    pub(super) priority: Option<Priority>,
}

/// A request while its body is read.
pub(super) struct Reading {
    pub(super) asked: Box<Asked>,
    pub(super) api: Api,
    pub(super) form: Form,
    /// Bytes of the body that Envoy has buffered so far.
    pub(super) buffered: usize,
    /// True if the body may become longer: decided while headers can be written.
    pub(super) may_rewrite: bool,
}

/// A request that a pool was asked a place for.
pub(super) struct Placed {
    pub(super) pool: Rc<Pool>,
    pub(super) asked: Box<Asked>,
    pub(super) flow: FlowKey,
    pub(super) models: Models,
    /// Bytes of its body.
    pub(super) bytes: u64,
    pub(super) output: OutputWishes,
    /// The client's own name for it, by which it may be aborted.
    pub(super) own_name: Option<Vec<u8>>,
}

/// A request that waits.
pub(super) struct Held {
    pub(super) placed: Box<Placed>,
    pub(super) body: HeldBody,
    /// Time from which on it waits.
    pub(super) since: Instant,
    /// The set of counts in which it is waiting.
    pub(super) counted: SetId,
}

/// The body of a request that waits, as this filter has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldBody {
    /// Envoy has shown none of it or all of it: it goes on with the headers, in one piece.
    AtRest,
    /// Envoy has shown a part, and another is to come. Resumed from another callback now, Envoy would
    /// take the next part for one that is still held, and lose it or repeat those before it.
    Coming,
}

/// A request that was sent.
pub(super) struct Sent {
    pub(super) placed: Placed,
    /// The endpoints that it was sent to; absent where it failed open.
    pub(super) result: Option<SchedulingResult>,
    /// Time for which it was held.
    pub(super) waited: Duration,
    pub(super) response: Response,
    /// The endpoint that its answer came from, as far as Envoy has said.
    pub(super) served_by: Option<SocketAddr>,
    /// The set of counts in which it is running.
    pub(super) counted: SetId,
    /// Its count among those on their way to an endpoint; absent where it failed open, and once it is over.
    pub(super) in_flight: Option<InFlight>,
    /// True once its pool knows that it is over.
    pub(super) is_over: bool,
}

/// A request that is refused before all of its body has come. The answer waits for the rest, which is thrown away:
/// many clients write all that they have before they read, and lose an answer that comes with a reset.
pub(super) struct Refusing {
    pub(super) refusal: Refusal,
    pub(super) dialect: Dialect,
    pub(super) reply_to: ReplyTo,
    pub(super) refused: RefusedRequest,
    /// Bytes of the body that were thrown away.
    pub(super) discarded: u64,
}

/// A request that was refused.
pub(super) struct RefusedRequest {
    /// The EPP's code of the error.
    pub(super) code: ErrorCode,
    /// Absent where no pool was chosen by then.
    pub(super) placed: Option<Box<Placed>>,
}

/// A request that asked no pool for a place, with an answer that names what the pod keeps.
pub(super) struct Naming {
    pub(super) pool: Rc<Pool>,
    /// The tenant that made it.
    pub(super) owner: String,
    /// The endpoint that it was sent to.
    pub(super) endpoint: Option<SocketAddr>,
    /// Search for the name, from the answer's headers on.
    pub(super) made: Option<MadeName>,
}

/// The next phase, and what Envoy is to do.
pub(super) struct Next {
    pub(super) phase: Phase,
    pub(super) action: Action,
}

impl Asked {
    /// A request of which nothing is read but what answers from here repeat.
    pub(super) fn new(headers: &Headers, candidates: Candidates, received_at: Instant) -> Self {
        Self {
            identity: Identity::default(),
            routing: RoutingHeaders::default(),
            dialect: Dialect::default(),
            received_at,
            reply_to: ReplyTo::read(headers),
            candidates,
            named: None,
            keeps: false,
            fell_back: None,
            priority: None,
        }
    }
}

impl Phase {
    /// Returns the request with its pool, once a pool was asked for a place.
    pub(super) fn placed(&self) -> Option<&Placed> {
        match self {
            Self::Sent(sent) | Self::Evicted(sent) => Some(&sent.placed),
            Self::Held(held) => Some(&held.placed),
            Self::Refusing(refusing) => refusing.refused.placed.as_deref(),
            Self::Refused(refused) => refused.placed.as_deref(),
            Self::New | Self::Reading(_) | Self::Passed | Self::Naming(_) | Self::Answered => None,
        }
    }
}

impl Held {
    /// A request that waits as Envoy has nothing to show: before its body, or behind it.
    pub(super) fn at_rest(placed: Placed, since: Instant, counted: SetId) -> Self {
        Self { placed: Box::new(placed), body: HeldBody::AtRest, since, counted }
    }
}

impl Next {
    /// The same phase, for the rest of a request that needs no more reading.
    pub(super) fn unchanged(phase: Phase) -> Self {
        let action = match phase {
            Phase::Held(_)
            | Phase::Evicted(_)
            | Phase::Answered
            | Phase::Refusing(_)
            | Phase::Refused(_) => Action::Pause,
            Phase::New | Phase::Reading(_) | Phase::Sent(_) | Phase::Passed | Phase::Naming(_) => {
                Action::Continue
            }
        };
        Self { phase, action }
    }

    /// A request that waits, of which Envoy has shown a part of the body all the same.
    pub(super) fn held(held: Held, is_last: bool) -> Self {
        let body = if is_last { HeldBody::AtRest } else { HeldBody::Coming };
        Self { phase: Phase::Held(Held { body, ..held }), action: Action::Pause }
    }

    /// A request that goes on and asked no pool for a place, with an answer that names what the pod keeps.
    pub(super) fn naming(naming: Naming) -> Self {
        Self { phase: Phase::Naming(Box::new(naming)), action: Action::Continue }
    }

    /// A request that is refused.
    pub(super) fn refusing(refusing: Refusing) -> Self {
        Self { phase: Phase::Refusing(Box::new(refusing)), action: Action::Pause }
    }

    /// A request that goes on and asked no pool for a place.
    pub(super) fn passed() -> Self {
        Self { phase: Phase::Passed, action: Action::Continue }
    }
}
