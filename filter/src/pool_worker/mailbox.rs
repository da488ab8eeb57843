//! What other workers say, and what it makes of the streams that wait.

use picker_core::{
    Instant, RequestId, SchedulingResult,
    workers::{AdmissionResult, Step},
};

use super::{PoolWorker, Waiting};
use crate::{host, outbox};

/// Messages and what they make of streams, in one callback: what is over it by then waits for the
/// next one. A message resumes at most [`Member::GRANTS_MAX`], and Envoy's VMs die of a few hundred
/// answers in one go.
const ACTS_MAX: usize = 64;

impl PoolWorker {
    /// Whether messages in this queue are for this pool.
    pub(crate) fn is_woken_by(&self, queue: u32) -> bool {
        self.queue == queue
    }

    /// Carries out what other workers sent. `root` is the context that this is called in.
    pub(crate) fn receive(&self, root: u32) {
        let mut acts = 0;
        while acts < ACTS_MAX {
            let Some(bytes) = host::dequeue(self.queue) else { break };
            let Ok(message) = wire::message::decode(&bytes) else {
                // Empty is how this worker wakes itself; another version's is not for us.
                continue;
            };
            if acts == 0 {
                // Tickets may be of a priority that only a snapshot knows which was not read here.
                self.look_around();
            }
            let steps =
                self.member.borrow_mut().receive(host::now(), (&self.ledger, self), message);
            acts += 1 + steps.iter().filter(|step| !matches!(step, Step::Send(_))).count();
            self.carry_out(root, steps);
        }
        if acts > 0 {
            self.write_row();
        }
        if acts >= ACTS_MAX {
            host::enqueue(self.queue, &[]);
        }
    }

    pub(super) fn carry_out(&self, root: u32, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Send(post) => outbox::post([post]),
                Step::Take { request, epoch, granted_at } => {
                    self.take_grant(root, (request, epoch), granted_at);
                }
                Step::Reject { request, outcome } => {
                    self.release(root, request, AdmissionResult::Rejected(outcome));
                }
            }
        }
    }

    fn take_grant(&self, root: u32, (request, epoch): (RequestId, u64), granted_at: Instant) {
        let now = host::now();
        let waiting = self.waiting.borrow();
        let Some(Waiting { ask, .. }) = waiting.get(&request) else { return };
        let taken = self.member.borrow_mut().take_grant(
            now,
            (&self.ledger, self),
            (request, epoch),
            |ledger| self.admit(now, ask, ledger),
        );
        drop(waiting);
        let Some((arrival, posts)) = taken else { return };
        outbox::post(posts);
        if matches!(arrival, AdmissionResult::Held) {
            return;
        }
        self.release(root, request, arrival);
        self.stats.count_grant(host::now().saturating_since(granted_at));
    }

    /// Ends a request's wait.
    fn release(&self, root: u32, request: RequestId, arrival: AdmissionResult<SchedulingResult>) {
        let Some(waiting) = self.waiting.borrow_mut().remove(&request) else { return };
        let Waiting { ask, since, stream } = waiting;
        let now = host::now();
        if let AdmissionResult::Sent(decision, position) = &arrival {
            self.sent((request, now), ask, decision, *position);
        }
        if host::act_on(request.0) {
            stream.go(arrival, now.saturating_since(since));
        }
        // The context that Envoy called us in is always there.
        let _ = host::act_on(root);
    }
}
