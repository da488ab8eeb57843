//! The state of one VM: its part in each pool, and what it has counted.
//!
//! One Envoy worker is one VM. The state outlives a plugin instance: a change of the configuration
//! makes a new instance in the same VM, which takes over what the earlier one held, sent and knew.
//!
//! This is the only cell that callbacks share. It is borrowed by [`with`] alone, for a part that
//! returns and calls no host function: so no callback ever finds it borrowed.

pub(crate) mod fetching;
pub(crate) mod tally;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use picker_core::{
    Instant, Randomness, RequestId, TableKey,
    ledger::WorkerId,
    uploads::{UploadFault, Uploads},
    worker::{Decision, Worker, WorkerConfig, WorkerName},
    workers::QueueId,
};

use crate::{counters::Pending, host};
use fetching::Fetching;
use tally::{PoolSessions, PoolTally};

thread_local! {
    static VM: RefCell<Vm> = const { RefCell::new(Vm::new()) };
}

/// The state of one VM.
pub(crate) struct Vm {
    /// Drawn when the first pool is configured; the same for all of them.
    id: Option<WorkerId>,
    pools: Vec<PoolState>,
    /// Requests that Envoy's counters do not have yet.
    pub(crate) pending: Pending,
    /// The memory of which counts each scraper has.
    pub(crate) sessions: PoolSessions,
    /// Bodies that are on their way in.
    pub(crate) uploads: Uploads,
    /// Streams of those.
    pub(crate) uploading: BTreeMap<RequestId, Rc<dyn UploadingStream>>,
}

/// The state of one pool in this VM.
pub(crate) struct PoolState {
    name: String,
    pub(crate) worker: Worker,
    /// Streams of the requests that the worker holds.
    pub(crate) held: BTreeMap<RequestId, Rc<dyn HeldStream>>,
    pub(crate) fetching: Fetching,
    /// Counts of requests.
    pub(crate) tally: PoolTally,
}

/// A stream with its body on its way in.
pub(crate) trait UploadingStream {
    /// Ends for this reason. Called while Envoy acts on the stream.
    fn give_up(&self, fault: UploadFault);
}

/// A stream that waits for its turn.
pub(crate) trait HeldStream {
    /// Goes on as decided. Called while Envoy acts on the stream.
    fn release(&self, decision: Decision);
}

/// A pool of this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolId(usize);

impl Vm {
    const fn new() -> Self {
        Self {
            id: None,
            pools: Vec::new(),
            pending: Pending::since(Instant::from_nanos(0)),
            sessions: PoolSessions::new(),
            uploads: Uploads::new(),
            uploading: BTreeMap::new(),
        }
    }

    fn find(&self, name: &str) -> Option<PoolId> {
        self.pools.iter().position(|pool| pool.name == name).map(PoolId)
    }

    fn add(&mut self, pool: PoolState) -> PoolId {
        self.pools.push(pool);
        PoolId(self.pools.len() - 1)
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

/// Makes this VM part of a pool, if it is not yet.
pub(crate) fn join(name: &str, config: &WorkerConfig) -> PoolId {
    if let Some(known) = with(|vm| vm.find(name)) {
        return known;
    }
    let drawn = WorkerId(host::random() | 1);
    let id = with(|vm| *vm.id.get_or_insert(drawn));
    let queue = QueueId(host::register_queue(&queue_name(name, id)).unwrap_or_default());
    let randomness = Randomness {
        seed: host::random(),
        table_key: TableKey::new([host::random(), host::random(), host::random()]),
    };
    let epoch = host::random();
    let worker_name = WorkerName { id, queue };
    let worker = Worker::new(worker_name, config.clone(), host::now(), randomness);
    with(|vm| {
        vm.add(PoolState {
            name: name.to_owned(),
            worker,
            held: BTreeMap::new(),
            fetching: Fetching::new(id),
            tally: PoolTally::new(epoch),
        })
    })
}

/// Takes the messages of a pool for this plugin instance: the queue wakes the instance that registered
/// it last, and an earlier one may be gone.
pub(crate) fn take_queue(name: &str) -> Option<u32> {
    let id = with(|vm| vm.id)?;
    host::register_queue(&queue_name(name, id))
}

fn queue_name(pool: &str, id: WorkerId) -> String {
    wire::layout::key(pool, &format!("{:016x}", id.0))
}
