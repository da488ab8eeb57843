//! What a worker does as time passes.

use picker_core::{Instant, ledger::WorkerId, workers::WorkerPeer};

use super::PoolWorker;
use crate::{host, outbox};

/// Tenants that a report on the pool names, of all bands together: more than anybody reads.
const FLOWS_SHOWN: usize = 64;

impl PoolWorker {
    /// Time has passed.
    pub(crate) fn tick(&self, root: u32) {
        let now = host::now();
        let steps = self.member.borrow_mut().tick(now, (&self.ledger, self));
        self.carry_out(root, steps);
        if self.enlisted.get() {
            // What a request goes by before it is placed, such as rewrites, is not older than this.
            // Before the member is borrowed: objectives that changed are provisioned there.
            self.look_around();
            self.write_row();
        }
        let member = self.member.borrow();
        self.is_busy.set(member.is_busy());
        let ledger = self.ledger.read();
        let scheduler = self.scheduler.borrow();
        let keeps_queues = member.queues().is_some();
        if !self.keeps_queues.replace(keeps_queues) && keeps_queues {
            self.stats.take_over(&self.board.borrow().queues().1);
        }
        self.stats.show(member.queues(), &scheduler.capacity(now, &ledger));
        if self.enlisted.get() && self.pool_stats.are_due(now) {
            self.pool_stats.show(&scheduler.survey(now, &ledger), scheduler.indexed());
        }
        drop(scheduler);
        if let Some(queues) = member.queues() {
            self.board.borrow().post_queues(now, &queues.flow_sizes(FLOWS_SHOWN));
        }
        let me = member.id();
        drop(member);
        self.bury_the_dead(now, me);
    }

    /// Takes back what workers had counted that gave no sign of life.
    fn bury_the_dead(&self, now: Instant, me: WorkerId) {
        let dead = self.roll.strike(|worker, row| worker != me && row.is_dead(now));
        for (worker, row) in &dead {
            log::warn!("worker {:016x} is gone; its requests are taken off the ledger", worker.0);
            outbox::post([WorkerPeer::bury(now, &self.ledger, *worker, row)]);
        }
        if !dead.is_empty() && self.ledger.read().waiting == 0 {
            // If it kept the queues, nobody will after it.
            self.stats.take_over(&self.board.borrow().queues().1);
        }
    }
}
