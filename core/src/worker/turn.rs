//! The one loop in which a worker decides on a store that it shares with others.

use super::{Effect, Input, Proposal, Seen, Wants, Worker};
use crate::{
    model::{Instant, PlacementEvent},
    workers::{Envelope, Message},
};

/// Tries at a ledger that other workers change too. Each failed try means that another worker was
/// faster, so this many in a row take this many others in the same microseconds.
const TRIES_MAX: u32 = 256;

/// A part in a turn: proposes on what was read, and acts once the proposal holds.
pub trait Party {
    /// The events that the party is told of.
    type Input;

    /// Completes an input by what the party knows, once for all tries.
    fn receive(&self, _input: &mut Self::Input) {}

    /// Returns the parts of the store to read for this input.
    fn wants(&self, now: Instant, input: &Self::Input) -> Wants;

    /// Proposes a change of the ledger. Only the news that was read (events, a snapshot) and the dice may
    /// change by it: a proposal that does not come to hold leaves nothing behind.
    fn propose(&mut self, now: Instant, input: &Self::Input, seen: Seen) -> Proposal;

    /// Acts on a proposal that holds. Returns the effects for the host.
    fn commit(&mut self, now: Instant, input: Self::Input, proposal: Proposal) -> Vec<Effect>;
}

/// The surroundings of a party: where it lives, and the store that it shares.
pub trait Host<P> {
    /// Lends the party for one part of a turn, during which nothing calls the host.
    fn lend<T>(&mut self, part: impl FnOnce(&mut P) -> T) -> T;

    /// Reads the wanted parts of the store.
    fn read(&mut self, wants: &Wants) -> Seen;

    /// Writes the proposed ledger unless another worker wrote it since it was read; false if one did.
    fn commit(&mut self, proposal: &Proposal) -> bool;
}

/// Runs one turn: reads, proposes, commits, and proposes anew on a newer state as long as another
/// worker is faster. Returns the effects for the host to carry out.
pub fn turn<P: Party>(host: &mut impl Host<P>, now: Instant, mut input: P::Input) -> Vec<Effect> {
    host.lend(|party| party.receive(&mut input));
    let mut tries = 0;
    let proposal = loop {
        let wants = host.lend(|party| party.wants(now, &input));
        let seen = host.read(&wants);
        let proposal = host.lend(|party| party.propose(now, &input, seen));
        if !proposal.changes_ledger() || host.commit(&proposal) {
            break proposal;
        }
        tries += 1;
        if tries == TRIES_MAX {
            break proposal.given_up();
        }
    };
    host.lend(|party| party.commit(now, input, proposal))
}

impl Party for Worker {
    type Input = Input;

    fn receive(&self, input: &mut Input) {
        Self::receive(self, input);
    }

    fn wants(&self, now: Instant, input: &Input) -> Wants {
        Self::wants(self, now, input)
    }

    fn propose(&mut self, now: Instant, input: &Input, seen: Seen) -> Proposal {
        Self::propose(self, now, input, seen)
    }

    fn commit(&mut self, now: Instant, input: Input, proposal: Proposal) -> Vec<Effect> {
        Self::commit(self, now, input, proposal)
    }
}

/// The party that tells a pool's workers of a snapshot that was just stored. It is not a worker, since a
/// snapshot may come before any worker serves the pool.
#[derive(Debug, Default)]
pub struct SnapshotNotice;

impl Party for SnapshotNotice {
    type Input = ();

    fn wants(&self, _now: Instant, (): &()) -> Wants {
        Wants::LEDGER
    }

    fn propose(&mut self, _now: Instant, (): &(), seen: Seen) -> Proposal {
        let Seen { mut ledger, version, .. } = seen;
        ledger.snapshots += 1;
        // By the newer metrics there may be room for requests that wait.
        let wakes = ledger.wake();
        Proposal::for_notice(ledger, version, wakes)
    }

    fn commit(&mut self, _now: Instant, (): (), proposal: Proposal) -> Vec<Effect> {
        let wake = |to| Effect::Send(Box::new(Envelope { to, message: Message::Wake }));
        let contended = proposal.is_given_up().then_some(Effect::ReportContended);
        let (ledger, wakes) = proposal.into_notice();
        let told = [Effect::ShowPool(Box::new(ledger))];
        wakes.map(wake).into_iter().chain(told).chain(contended).collect()
    }
}

/// The party that tells a pool's workers of the other gateways: of the sums that were just stored, and of
/// placement events, which take one entry of the event ring, however many they are.
#[derive(Debug, Default)]
pub struct ExchangeNotice;

impl Party for ExchangeNotice {
    type Input = Vec<PlacementEvent>;

    fn wants(&self, _now: Instant, _events: &Self::Input) -> Wants {
        Wants::LEDGER
    }

    fn propose(&mut self, _now: Instant, events: &Self::Input, seen: Seen) -> Proposal {
        let Seen { mut ledger, version, .. } = seen;
        // What is stored of the others is read together with the snapshot.
        ledger.snapshots += 1;
        if !events.is_empty() {
            ledger.announce();
        }
        // With another credit there may be room for requests that wait.
        let wakes = ledger.wake();
        Proposal::for_notice(ledger, version, wakes)
    }

    fn commit(&mut self, _now: Instant, events: Self::Input, proposal: Proposal) -> Vec<Effect> {
        let wake = |to| Effect::Send(Box::new(Envelope { to, message: Message::Wake }));
        let is_given_up = proposal.is_given_up();
        let (ledger, wakes) = proposal.into_notice();
        let position = ledger.events.checked_sub(1).filter(|_| !is_given_up && !events.is_empty());
        let entry = position.map(|position| Effect::Publish { position, events });
        let contended = is_given_up.then_some(Effect::ReportContended);
        entry.into_iter().chain(wakes.map(wake)).chain(contended).collect()
    }
}
