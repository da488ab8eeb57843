//! Running requests that end for more important ones.

use std::collections::BTreeSet;

use picker_core::{
    flow::{Eviction, FlowConfig, Priority},
    worker::{Effect, Input},
    workers::{Message, QueueId},
};

use crate::{
    chance::Chance,
    world::{Fate, Request, World},
};

/// The evictions of a world.
#[derive(Default)]
pub(crate) struct Evictions {
    /// Requests that were evicted and run still.
    running: BTreeSet<Request>,
    /// Number of evictions so far.
    pub(crate) count: u64,
    /// True if some worker was ever told to evict.
    is_allowed: bool,
}

impl Evictions {
    /// A worker goes by these settings from now on.
    pub(crate) fn go_by(&mut self, flow: Option<&FlowConfig>) {
        self.is_allowed |= flow.is_some_and(|it| it.eviction == Eviction::Sheddable);
    }

    fn some(&self, chance: &mut Chance) -> Option<Request> {
        chance.one_of(&self.running.iter().copied().collect::<Vec<_>>())
    }
}

impl World {
    /// The arbiter chose a worker, which evicts a request, or says that it has none.
    pub(crate) fn ask_for_eviction(&mut self, queue: QueueId, message: Message) {
        for input in Input::from_message(message) {
            let effects = self.run(queue, input);
            let ends = |effect: &&Effect| {
                matches!(effect, Effect::Evict { .. })
                    || matches!(effect, Effect::Send(it) if it.message == Message::Evicted)
            };
            assert_eq!(effects.iter().filter(ends).count(), 1, "{}: {effects:?}", self.place());
        }
    }

    /// A request is evicted: it runs, may be evicted, and is not for a second time.
    pub(crate) fn see_eviction(&mut self, request: Request) {
        let place = self.place();
        let (fate, asked) = &self.requests[&request];
        assert_eq!(*fate, Fate::Running, "{place}: {request:?} is evicted");
        assert!(asked.flow.priority < Priority(0), "{place}: {asked:?} is evicted");
        assert!(self.evictions.is_allowed, "{place}: {request:?} is evicted");
        assert!(self.evictions.running.insert(request), "{place}: {request:?} is evicted twice");
        self.evictions.count += 1;
    }

    /// A request that was evicted comes to its end, once in so many times.
    pub(crate) fn end_evicted(&mut self, times: u32) {
        let requests = &self.requests;
        self.evictions.running.retain(|request| requests.contains_key(request));
        if self.chance.one_in(times)
            && let Some(request) = self.evictions.some(&mut self.chance)
        {
            self.finish_of(request);
        }
    }
}
