//! The state of one VM: its part in each pool, and what it has counted.
//!
//! One Envoy worker is one VM. The state outlives a plugin instance: a change of the configuration
//! makes a new instance in the same VM, which takes over what the earlier one held, sent and knew.
//!
//! This is the only cell that callbacks share. It is borrowed by [`with`] alone, for a part that
//! returns and calls no host function: so no callback ever finds it borrowed.

pub(crate) mod fetching;
pub(crate) mod instances;
pub(crate) mod notes;
pub(crate) mod tally;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use picker_core::{
    Instant, PromptKey, Randomness, RequestId, TableKey,
    held_bodies::HeldBodies,
    ledger::WorkerId,
    uploads::{UploadFault, Uploads},
    worker::{Decision, Worker, WorkerConfig, WorkerName},
    workers::QueueId,
};

use crate::{counters::Pending, host, prompt_key};
use fetching::Fetching;
use instances::{ConfiguredPool, Instance, Instances, Leaving};
use tally::{PoolSessions, PoolTally};

/// Context id of the keeper: the first plugin instance of a VM, whichever that is. Envoy counts a VM's contexts from 1.
///
/// All queues wake the keeper, which stays as long as the VM. A wake-up is meant for the context that registered the
/// queue; were that a later plugin instance and its VM died, the VM in its place would be woken by the id of a stream,
/// at which the SDK panics. Context 1 is a plugin instance in every VM.
pub(crate) const KEEPER: u32 = 1;

/// Least time between two ticks of a pool at rest: a second, less what a timer may be early.
const RESTING_TICK: Duration = Duration::from_millis(980);

thread_local! {
    static VM: RefCell<Vm> = const { RefCell::new(Vm::new()) };
}

/// The state of one VM.
pub(crate) struct Vm {
    /// Drawn when the first pool is configured; the same for all of them.
    id: Option<WorkerId>,
    pools: Vec<PoolState>,
    /// The key of prompts' hashes, as it was read last.
    pub(crate) prompt_key: Option<PromptKey>,
    /// Requests that Envoy's counters do not have yet.
    pub(crate) pending: Pending,
    /// The memory of which counts each scraper has.
    pub(crate) sessions: PoolSessions,
    /// Bodies that are on their way in.
    pub(crate) uploads: Uploads,
    /// Streams of those.
    pub(crate) uploading: BTreeMap<RequestId, Rc<dyn UploadingStream>>,
    /// Bodies of requests that wait.
    pub(crate) held_bodies: HeldBodies,
    /// Context ids of the plugin instances that will tick soon.
    ticking_soon: BTreeSet<u32>,
    /// Bytes of both, as Envoy's gauge has them.
    pub(crate) shown_body_bytes: u64,
    /// Numbers of the newest connections that plugin instances were seen to serve, by their context ids.
    connections: BTreeMap<u32, u64>,
}

/// The state of one pool in this VM.
pub(crate) struct PoolState {
    name: String,
    pub(crate) worker: Worker,
    /// Streams of the requests that the worker holds.
    pub(crate) held: BTreeMap<RequestId, Rc<dyn HeldStream>>,
    /// Streams of the requests that may be evicted while they run.
    pub(crate) sheddable: BTreeMap<RequestId, Rc<dyn SheddableStream>>,
    pub(crate) fetching: Fetching,
    /// Counts of requests.
    pub(crate) tally: PoolTally,
    /// The queue of this worker's messages; `None` where Envoy has no queues.
    queue: Option<u32>,
    instances: Instances,
    /// Time of the last tick.
    ticked_at: Option<Instant>,
}

impl PoolState {
    /// True if the pool is to tick now, which is taken note of: one that is at rest does so once a second, however often
    /// others need it.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let rests = |at| now.saturating_since(at) < RESTING_TICK;
        let is_due = self.worker.is_busy() || !self.ticked_at.is_some_and(rests);
        if is_due {
            self.ticked_at = Some(now);
        }
        is_due
    }
}

/// A stream with its body on its way in.
pub(crate) trait UploadingStream {
    /// Ends for this reason. Returns the bytes that it keeps, if it may not end. Called while Envoy acts on the stream.
    fn give_up(&self, fault: UploadFault) -> Option<usize>;
}

/// A stream that waits for its turn.
pub(crate) trait HeldStream {
    /// Goes on as decided. Called while Envoy acts on the stream.
    fn release(&self, decision: Decision);

    /// Ends, as its body is in the way of others. Called while Envoy acts on the stream.
    fn displace(&self);
}

/// A stream of a request that may be evicted while it runs.
pub(crate) trait SheddableStream {
    /// Ends, as a more important request finds no room. Called while Envoy acts on the stream.
    fn evict(&self);
}

/// A pool of this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolId(usize);

impl Vm {
    const fn new() -> Self {
        Self {
            id: None,
            pools: Vec::new(),
            prompt_key: None,
            pending: Pending::since(Instant::from_nanos(0)),
            sessions: PoolSessions::new(),
            uploads: Uploads::new(),
            uploading: BTreeMap::new(),
            held_bodies: HeldBodies::new(),
            ticking_soon: BTreeSet::new(),
            shown_body_bytes: 0,
            connections: BTreeMap::new(),
        }
    }

    fn find(&self, name: &str) -> Option<PoolId> {
        self.pools.iter().position(|pool| pool.name == name).map(PoolId)
    }

    fn add(&mut self, pool: PoolState) -> PoolId {
        self.pools.push(pool);
        PoolId(self.pools.len() - 1)
    }

    /// Returns all pools of this VM.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &PoolState> {
        self.pools.iter()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an id is the index of a pool in this table, which never shrinks"
    )]
    fn pool(&mut self, id: PoolId) -> &mut PoolState {
        &mut self.pools[id.0]
    }
}

/// Borrows the VM's state for one part, which must call no host function.
pub(crate) fn with<T>(part: impl FnOnce(&mut Vm) -> T) -> T {
    VM.with_borrow_mut(part)
}

/// Borrows one pool's state for one part, which must call no host function.
pub(crate) fn in_pool<T>(id: PoolId, part: impl FnOnce(&mut PoolState) -> T) -> T {
    with(|vm| part(vm.pool(id)))
}

/// Returns the key of prompts' hashes. The first request of a VM reads it; later ones go by the last tick.
pub(crate) fn prompt_key() -> PromptKey {
    with(|vm| vm.prompt_key).unwrap_or_else(renew_prompt_key)
}

/// Reads the key of prompts' hashes anew.
pub(crate) fn renew_prompt_key() -> PromptKey {
    let key = prompt_key::shared();
    with(|vm| vm.prompt_key = Some(key));
    key
}

/// True if this VM is part of the pool of that name.
pub(crate) fn has_pool(name: &str) -> bool {
    with(|vm| vm.find(name)).is_some()
}

/// Makes this VM part of a pool, if it is not yet. `context` is the context that Envoy acts on.
pub(crate) fn join(name: &str, config: &WorkerConfig, context: u32) -> PoolId {
    if let Some(known) = with(|vm| vm.find(name)) {
        return known;
    }
    let drawn = WorkerId(host::random() | 1);
    let id = with(|vm| *vm.id.get_or_insert(drawn));
    let queue = host::register_queue(&queue_name(name, id), KEEPER, context);
    let randomness = Randomness {
        seed: host::random(),
        table_key: TableKey::new([host::random(), host::random(), host::random()]),
        learned_key: host::random(),
    };
    let epoch = host::random();
    let worker_name = WorkerName { id, queue: QueueId(queue.unwrap_or_default()) };
    let worker = Worker::new(worker_name, config.clone(), host::now(), randomness);
    with(|vm| {
        vm.add(PoolState {
            name: name.to_owned(),
            worker,
            held: BTreeMap::new(),
            sheddable: BTreeMap::new(),
            fetching: Fetching::new(id),
            tally: PoolTally::new(epoch),
            queue,
            instances: Instances::default(),
            ticked_at: None,
        })
    })
}

/// Makes a plugin instance the newest that has a pool.
pub(crate) fn enter(id: PoolId, context: u32, pool: Rc<dyn ConfiguredPool>) {
    in_pool(id, |state| state.instances.enter(Instance { context, pool }));
}

/// Remains of a plugin instance that goes.
#[derive(Default)]
pub(crate) struct Departure {
    /// Pools that go by another instance's configuration from now on.
    pub(crate) falling: Vec<Rc<dyn ConfiguredPool>>,
    /// Names of the pools that no instance of this VM has any more.
    pub(crate) orphaned: Vec<String>,
}

/// Takes a plugin instance away from all its pools.
pub(crate) fn leave(context: u32) -> Departure {
    with(|vm| {
        vm.connections.remove(&context);
        let _ = vm.ticking_soon.remove(&context);
        let mut departure = Departure::default();
        for pool in &mut vm.pools {
            match pool.instances.leave(context) {
                Leaving::Unchanged => (),
                Leaving::Falls(other) => departure.falling.push(other),
                Leaving::Orphaned => departure.orphaned.push(pool.name.clone()),
            }
        }
        departure
    })
}

/// Returns the pools of this VM that no plugin instance of it has any more.
pub(crate) fn orphans() -> Vec<Rc<dyn ConfiguredPool>> {
    with(|vm| vm.pools.iter().filter_map(|pool| pool.instances.orphan()).collect())
}

/// Returns the plugin instance that takes the messages in this queue; `None` if the queue is of no worker of this VM.
pub(crate) fn woken_by(queue: u32) -> Option<Instance> {
    with(|vm| {
        let pool = vm.pools.iter().find(|pool| pool.queue == Some(queue))?;
        pool.instances.acting(KEEPER)
    })
}

/// Notes that a plugin instance will tick soon. Returns false if it would anyway.
pub(crate) fn wish_for_tick(context: u32) -> bool {
    with(|vm| vm.ticking_soon.insert(context))
}

/// Notes whether a plugin instance, which ticks now, will do so again soon.
pub(crate) fn tick(context: u32, is_soon: bool) {
    let _ = with(|vm| match is_soon {
        true => vm.ticking_soon.insert(context),
        false => vm.ticking_soon.remove(&context),
    });
}

/// Takes note of a connection that a plugin instance serves.
pub(crate) fn see_connection(context: u32, number: u64) {
    with(|vm| {
        let newest = vm.connections.entry(context).or_default();
        *newest = number.max(*newest);
    });
}

/// Returns the number of the newest connection that a plugin instance was seen to serve.
pub(crate) fn newest_connection(context: u32) -> u64 {
    with(|vm| vm.connections.get(&context).copied().unwrap_or_default())
}

/// Returns the queue of a pool's messages to this worker.
pub(crate) fn queue(id: PoolId) -> Option<u32> {
    in_pool(id, |pool| pool.queue)
}

fn queue_name(pool: &str, id: WorkerId) -> String {
    wire::layout::key(pool, &format!("{:016x}", id.0))
}
