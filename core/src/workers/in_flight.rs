//! The requests that a worker sent and that have not ended.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    ledger::{Accounts, EndpointKey, Target, Work},
    model::{Instant, Priority, QueueId, RequestId},
};

/// The requests in flight, with the endpoints on which each is counted. The worker's heartbeat holds
/// the same counts, so that another worker can take them back.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountedRequests {
    by_request: BTreeMap<RequestId, Counted>,
    /// Those below priority 0 that are not evicted, in the order in which they would be: at most one entry for
    /// each of them.
    sheddable: BTreeSet<(Priority, Reverse<Instant>, RequestId)>,
}

/// A request on its way, as far as accounts count it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// The endpoint that answers; charged with the prompt's tokens if it also computes them.
    decode: Part,
    /// The endpoint that computes the prompt where that is another, until the response begins.
    prefill: Option<Part>,
    /// The request's priority.
    pub(crate) priority: Priority,
    /// The answer that its tenant was charged for, until the truth is told.
    debt: Option<OutputDebt>,
    /// Time at which it was sent.
    pub(crate) sent_at: Instant,
    /// The queue of the arbiter that had it evicted.
    pub(crate) evicted_for: Option<QueueId>,
}

/// The output tokens that a tenant was charged for when its request was dispatched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputDebt {
    /// Queue of the worker that charged them: only its counters have them.
    pub(crate) arbiter: QueueId,
    /// Tokens.
    pub(crate) tokens: u32,
}

/// A request on one endpoint, with the tokens of its prompt that count there.
#[derive(Clone, Copy, Debug)]
struct Part {
    endpoint: EndpointKey,
    /// Zero once the tokens are computed.
    work: Work,
}

/// The change of accounts that the beginning of a response makes.
///
/// Data, so that the same change is applied to the ledger when it is proposed and to the worker's own
/// heartbeat when it is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shift {
    after: Counted,
    moved: Option<Moved>,
    computed: Option<Computed>,
}

/// A request that Envoy's retries took to another endpoint than the first.
#[derive(Clone, Copy, Debug)]
struct Moved {
    from: EndpointKey,
    to: EndpointKey,
    work: Work,
}

/// The counts that end when a prompt is computed.
#[derive(Clone, Copy, Debug)]
enum Computed {
    /// The tokens alone, where the same endpoint goes on to answer.
    Here(Part),
    /// The request and its tokens, where another endpoint answers.
    Apart(Part),
}

impl Counted {
    /// Counts of a request that goes to `target`.
    pub(crate) fn for_target(target: Target) -> Self {
        let Target { endpoint, prefill, load, holds, priority, .. } = target;
        let load = Work { holds: 0, ..load.unwrap_or_default() };
        // The cache of the prompt is moved to the endpoint that answers, where it grows.
        let work = if prefill.is_some() { Work::default() } else { load };
        let prefill = prefill.map(|endpoint| Part { endpoint, work: load });
        let work = Work { holds, ..work };
        let decode = Part { endpoint, work };
        let sent_at = Instant::default();
        Self { decode, prefill, priority, debt: None, sent_at, evicted_for: None }
    }

    /// Adds the counts.
    pub(crate) fn open(&self, now: Instant, accounts: &mut Accounts) {
        accounts.open(now, self.decode.endpoint, self.decode.work);
        if let Some(Part { endpoint, work }) = self.prefill {
            accounts.open(now, endpoint, work);
        }
    }

    /// Takes the counts off.
    pub(crate) fn close(&self, now: Instant, accounts: &mut Accounts) {
        accounts.close(now, self.decode.endpoint, self.decode.work);
        if let Some(Part { endpoint, work }) = self.prefill {
            accounts.close(now, endpoint, work);
        }
    }

    /// Moves the decode part to the endpoint that answered; `None` if it was there already.
    fn move_to(&mut self, to: EndpointKey) -> Option<Moved> {
        let Part { endpoint: from, work } = self.decode;
        self.decode.endpoint = to;
        (from != to).then_some(Moved { from, to, work })
    }

    /// Ends the prompt's counts; `None` if nothing of the prompt was counted.
    fn compute(&mut self) -> Option<Computed> {
        let decode = self.decode;
        self.decode.work = Work { holds: decode.work.holds, ..Work::default() };
        let here = (decode.work.tokens > 0).then_some(Computed::Here(decode));
        self.prefill.take().map(Computed::Apart).or(here)
    }
}

impl Shift {
    /// Applies the change to accounts.
    pub(crate) fn apply(&self, now: Instant, accounts: &mut Accounts) {
        if let Some(Moved { from, to, work }) = self.moved {
            accounts.close(now, from, work);
            accounts.open(now, to, work);
        }
        match self.computed {
            Some(Computed::Here(Part { endpoint, work })) => accounts.answered(now, endpoint, work),
            Some(Computed::Apart(Part { endpoint, work })) => accounts.close(now, endpoint, work),
            None => (),
        }
    }

    /// True if accounts change at all.
    pub(crate) fn changes_accounts(&self) -> bool {
        self.moved.is_some() || self.computed.is_some()
    }

    /// True if an endpoint has a request less.
    pub(crate) fn frees_a_place(&self) -> bool {
        matches!(self.computed, Some(Computed::Apart(_)))
    }
}

impl CountedRequests {
    /// True if no request is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_request.is_empty()
    }

    /// Remembers a request that was sent to `target`.
    pub(crate) fn open(&mut self, now: Instant, request: RequestId, target: Target) -> Counted {
        let counted = Counted { sent_at: now, ..Counted::for_target(target) };
        self.by_request.insert(request, counted);
        if target.priority < Priority(0) {
            self.sheddable.insert((target.priority, Reverse(now), request));
        }
        counted
    }

    /// Returns the request that would be evicted first, and the number of those that may be; `None` while there
    /// are none.
    pub(crate) fn sheddable(&self) -> Option<(Counted, u32)> {
        let (.., request) = self.sheddable.first()?;
        let requests = u32::try_from(self.sheddable.len()).unwrap_or(u32::MAX);
        Some((self.get(*request)?, requests))
    }

    /// Marks the request as evicted that goes first, if it is below this priority.
    pub(crate) fn evict(&mut self, below: Priority, arbiter: QueueId) -> Option<RequestId> {
        let first = *self.sheddable.first().filter(|(priority, ..)| *priority < below)?;
        self.sheddable.remove(&first);
        let (.., request) = first;
        self.by_request.get_mut(&request)?.evicted_for = Some(arbiter);
        Some(request)
    }

    /// Tells what changes when a response begins, `served_by` naming the endpoint that sent it where
    /// that is known. `None` for a request that is not in flight.
    pub(crate) fn shift(
        &self,
        request: RequestId,
        served_by: Option<EndpointKey>,
    ) -> Option<Shift> {
        let mut after = *self.by_request.get(&request)?;
        // The move comes first: the tokens are taken off where they are counted by then.
        let moved = served_by.and_then(|to| after.move_to(to));
        let computed = after.compute();
        Some(Shift { after, moved, computed })
    }

    /// Tells what changes when `served_by` takes a request on whose prompt is still to be computed.
    /// `None` if it was there already, or is not in flight.
    pub(crate) fn reroute(&self, request: RequestId, served_by: EndpointKey) -> Option<Shift> {
        let mut after = *self.by_request.get(&request)?;
        let moved = after.move_to(served_by);
        moved.is_some().then_some(Shift { after, moved, computed: None })
    }

    /// Remembers what a response's beginning changed.
    pub(crate) fn take_shift(&mut self, request: RequestId, shift: &Shift) {
        if let Some(counted) = self.by_request.get_mut(&request) {
            *counted = shift.after;
        }
    }

    /// Remembers what the tenant of a request owes for its answer.
    pub(crate) fn owe(&mut self, request: RequestId, debt: OutputDebt) {
        if let Some(counted) = self.by_request.get_mut(&request) {
            counted.debt = Some(debt);
        }
    }

    /// Takes what the tenant of a request owes, if that was not told yet.
    pub(crate) fn take_debt(&mut self, request: RequestId) -> Option<OutputDebt> {
        self.by_request.get_mut(&request)?.debt.take()
    }

    /// Reads the counts of a request in flight.
    pub(crate) fn get(&self, request: RequestId) -> Option<Counted> {
        self.by_request.get(&request).copied()
    }

    /// Forgets a request that ended.
    pub(crate) fn close(&mut self, request: RequestId) -> Option<Counted> {
        let counted = self.by_request.remove(&request)?;
        if counted.priority < Priority(0) {
            self.sheddable.remove(&(counted.priority, Reverse(counted.sent_at), request));
        }
        Some(counted)
    }
}
