//! The one place where a worker meets Envoy: runs its turns and carries out their effects.

use std::collections::VecDeque;

use picker_core::{
    Instant, RequestId,
    worker::{self, Decision, Effect, Host, Input, Observation, Proposal, Seen, Wants, Worker},
    workers::WorkerPeer,
};

use wire::{placement_event::Origin, tally::OwnError};

use crate::{
    bodies,
    counters::Counters,
    host, outbox,
    pool::Pool,
    stats, ticks,
    vm::{self, KEEPER, instances::ConfiguredPool},
};

/// Decisions carried out in one callback, after which the rest waits for the next one: Envoy's VMs die of a few hundred
/// replies in one go. The last message, or the last pool, may bring as many again, as a message grants at most
/// [`WorkerPeer::GRANTS_MAX`].
pub(crate) const DECISIONS_MAX: usize = WorkerPeer::GRANTS_MAX as usize;

/// A pool's worker in this VM, with the store that it shares.
struct PoolHost<'a> {
    pool: &'a Pool,
    /// The ledger's bytes as they were read last.
    ledger: Vec<u8>,
}

impl Host<Worker> for PoolHost<'_> {
    fn lend<T>(&mut self, part: impl FnOnce(&mut Worker) -> T) -> T {
        vm::in_pool(self.pool.id, |pool| part(&mut pool.worker))
    }

    fn read(&mut self, wants: &Wants) -> Seen {
        let (seen, ledger) = self.pool.store.read(wants);
        self.ledger = ledger;
        seen
    }

    fn commit(&mut self, proposal: &Proposal) -> bool {
        self.pool.store.commit(proposal, &self.ledger)
    }
}

/// The context that Envoy acts on in this callback.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    /// The stream of the request that the input is about. Its own decision is returned.
    Stream,
    /// A plugin instance, by its context id.
    Instance(u32),
}

impl Caller {
    /// Returns the context id of the plugin instance with the timer that Envoy sets now.
    const fn instance(self, pool: &Pool) -> u32 {
        match self {
            Self::Stream => pool.instance,
            Self::Instance(context) => context,
        }
    }
}

/// Runs an input, and everything that follows from it. Returns the caller's own decision, if there is
/// one.
pub(crate) fn run(pool: &Pool, caller: Caller, input: Input) -> Option<Decision> {
    let mut outcome = Outcome::default();
    run_all(pool, caller, input, &mut outcome);
    outcome.finish(pool)
}

/// Lets time pass for a pool, in a tick of the plugin instance of this context id. Returns the number of held requests
/// that wait no more.
pub(crate) fn tick(pool: &Pool, context: u32) -> usize {
    let mut outcome = Outcome::default();
    run_all(pool, Caller::Instance(context), Input::Tick, &mut outcome);
    let decisions = outcome.decisions;
    let own = outcome.finish(pool);
    debug_assert!(own.is_none(), "a tick decides about held requests only");
    decisions
}

/// Runs an input of which no decision follows.
pub(crate) fn tell(pool: &Pool, input: Input) {
    let own = run(pool, Caller::Stream, input);
    debug_assert!(own.is_none(), "a decision without a request that asked for it");
}

/// Takes in what is new in a pool's store.
pub(crate) fn look(pool: &Pool) {
    tell(pool, Input::Look);
}

/// Takes in an event that concerns this worker's knowledge alone.
pub(crate) fn observe(pool: &Pool, observation: Observation) {
    vm::in_pool(pool.id, |pool| pool.worker.observe(observation));
}

impl ConfiguredPool for Pool {
    fn instance(&self) -> u32 {
        self.instance
    }

    fn configure(&self) {
        vm::in_pool(self.id, |pool| pool.fetching.configure(self.source.clone()));
        tell(self, Input::Configured(Box::new(self.worker_config.clone())));
    }

    fn receive(&self, context: u32) {
        if let Some(queue) = vm::queue(self.id) {
            receive(self, queue, context);
        }
    }

    fn tick(&self, context: u32) -> bool {
        if !self.store.ledger().is_at_rest() {
            let _ = run(self, Caller::Instance(context), Input::Tick);
        }
        vm::in_pool(self.id, |pool| pool.worker.is_busy())
    }
}

/// Outcome of the inputs of one callback.
#[derive(Default)]
struct Outcome {
    own: Option<Decision>,
    /// Inputs that follow from those before them.
    inputs: VecDeque<Input>,
    /// Number of held requests that wait no more.
    decisions: usize,
    /// True if the worker's heartbeat is to be written: once a callback, as only a death between two
    /// callbacks has it read.
    shows_heartbeat: bool,
}

impl Outcome {
    fn finish(self, pool: &Pool) -> Option<Decision> {
        if self.shows_heartbeat {
            show_heartbeat(pool);
        }
        self.own
    }
}

fn run_all(pool: &Pool, caller: Caller, input: Input, outcome: &mut Outcome) {
    carry_out(pool, caller, input, outcome);
    while let Some(next) = outcome.inputs.pop_front() {
        carry_out(pool, caller, next, outcome);
    }
}

fn carry_out(pool: &Pool, caller: Caller, input: Input, outcome: &mut Outcome) {
    let mut host = PoolHost { pool, ledger: Vec::new() };
    let (now, dispatches) = (host::now(), matches!(input, Input::Arbitrate));
    let effects = worker::turn(&mut host, now, input);
    if dispatches {
        stats::count_dispatch_cycle(pool, host::now().saturating_since(now));
    }
    for effect in effects {
        match effect {
            Effect::Decide(decision) => match caller {
                Caller::Stream => outcome.own = Some(*decision),
                Caller::Instance(context) => {
                    outcome.decisions += 1;
                    release(pool, context, *decision);
                }
            },
            Effect::Send(envelope) => {
                if !outbox::send(&envelope) {
                    vm::with(|vm| vm.pending.lost_messages += 1);
                    stats::count_own_error(pool, OwnError::LostMessage);
                }
            }
            Effect::Publish { position, events } => {
                pool.store.publish(position, Origin::Own, &events);
            }
            Effect::Evict { request } => evict(pool, caller, request),
            Effect::ShowHeartbeat => outcome.shows_heartbeat = true,
            Effect::TickSoon => ticks::soon(caller.instance(pool)),
            Effect::Then(input) => outcome.inputs.push_back(*input),
            Effect::ShowPool(ledger) => stats::show_pool(pool, host::now(), &ledger),
            Effect::RemoveHeartbeat { worker, beats } => {
                log::warn!(
                    "worker {:016x} gives no sign of life; its requests are taken off the ledger",
                    worker.0
                );
                pool.heartbeats.remove(worker, beats);
                stats::count_own_error(pool, OwnError::WorkerDied);
            }
            Effect::ReportRecount => {
                stats::count_own_error(pool, OwnError::Recounted);
                log::warn!("mended wrong counts in the ledger of pool {}", pool.config.name);
            }
            Effect::ReportUnreadable(reason) => {
                stats::count_own_error(pool, OwnError::UnreadableSnapshot);
                log::error!("failed to read the snapshot in shared data: {reason}");
            }
            Effect::ReportContended => {
                stats::count_own_error(pool, OwnError::GaveUp);
                log::error!("failed to change the ledger of pool {}", pool.config.name);
            }
        }
    }
}

/// Ends a held request's wait. Envoy acts on its stream meanwhile, and then on the caller's context
/// again, which is always there.
fn release(pool: &Pool, context: u32, decision: Decision) {
    let request = decision.request;
    let Some(stream) = vm::in_pool(pool.id, |pool| pool.held.remove(&request)) else { return };
    let granted_at = decision.granted_at;
    if host::act_on(request.0) {
        stream.release(decision);
    }
    let _ = host::act_on(context);
    if let Some(granted_at) = granted_at {
        stats::count_grant(pool, host::now().saturating_since(granted_at));
    }
}

/// Ends a request that runs. Envoy acts on its stream meanwhile, and then on the caller's context again.
fn evict(pool: &Pool, caller: Caller, request: RequestId) {
    // Evictions are told by messages, which a plugin instance takes.
    let Caller::Instance(context) = caller else { return };
    let stream = vm::in_pool(pool.id, |pool| pool.sheddable.get(&request).cloned());
    let Some(stream) = stream else { return };
    if host::act_on(request.0) {
        stream.evict();
    }
    let _ = host::act_on(context);
}

fn show_heartbeat(pool: &Pool) {
    let bytes = vm::in_pool(pool.id, |pool| wire::heartbeat::encode(pool.worker.heartbeat()));
    pool.heartbeats.show(&bytes);
}

/// Adds what this VM has counted to Envoy's counters, if it is time for that.
pub(crate) fn count(counters: &Counters, now: Instant) {
    if let Some(pending) = vm::with(|vm| vm.pending.take(now)) {
        counters.add_pending(pending);
        bodies::show(counters);
    }
}

/// Takes a plugin instance away from its pools, when Envoy has ended it and all its streams. A pool that an earlier
/// instance still has goes by that one's configuration again: Envoy takes an instance up that was about to leave, without
/// a word, where its configuration comes back. Returns the names of the pools that no instance of this VM has any more.
pub(crate) fn leave(context: u32) -> Vec<String> {
    let departure = vm::leave(context);
    for pool in &departure.falling {
        pool.configure();
        // Its worker may have asked the other instance for ticks.
        if host::act_on(pool.instance()) {
            ticks::soon(pool.instance());
        }
    }
    let _ = host::act_on(context);
    if !departure.orphaned.is_empty() && host::act_on(KEEPER) {
        ticks::soon(KEEPER);
        let _ = host::act_on(context);
    }
    departure.orphaned
}

/// Lets time pass for the pools of this VM that no plugin instance has any more, at a tick of the keeper: their requests
/// are held or on their way until they end, and counts of workers that died are taken back.
pub(crate) fn tick_orphans() {
    let mut is_busy = false;
    for pool in vm::orphans() {
        is_busy |= pool.tick(KEEPER);
    }
    if is_busy {
        ticks::ask(KEEPER, true);
    }
}

/// Takes in the messages in a queue, at a wake-up of the keeper. Those for a worker whose VM has died are dropped.
pub(crate) fn wake(queue: u32) {
    match vm::woken_by(queue) {
        Some(instance) => {
            // What is asked of Envoy meanwhile, as more ticks, is for that plugin instance.
            let _ = host::act_on(instance.context);
            instance.pool.receive(instance.context);
        }
        None => while host::dequeue(queue).is_some() {},
    }
}

/// Takes in messages of other workers.
fn receive(pool: &Pool, queue: u32, context: u32) {
    let mut outcome = Outcome::default();
    let mut messages = 0;
    while messages + outcome.decisions < DECISIONS_MAX {
        let Some(bytes) = host::dequeue(queue) else { break };
        // Empty is how this worker wakes itself; another version's message is not for us.
        let Ok(message) = wire::message::decode(&bytes) else { continue };
        messages += 1;
        for input in Input::from_message(message) {
            run_all(pool, Caller::Instance(context), input, &mut outcome);
        }
    }
    if messages + outcome.decisions >= DECISIONS_MAX {
        // This worker has registered the queue, so it is there.
        let _ = host::enqueue(queue, &[]);
    }
    let own = outcome.finish(pool);
    debug_assert!(own.is_none(), "a message decides about held requests only");
}
