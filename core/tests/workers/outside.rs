//! The doings of operators and of the scraper: the pool changes, and so does the configuration.

use picker_core::{flow::FlowConfig, worker::Input, workers::QueueId};

use crate::{
    request::any_flow,
    world::{World, all_objectives},
};

impl World {
    /// Something else is to be known of the pool.
    pub(crate) fn change_the_pool(&mut self, times: u32) {
        let empties = self.rules.may_empty && self.chance.one_in(times);
        let has_endpoints = !(empties && self.pool.has_endpoints == Some(true));
        let all = all_objectives();
        self.objectives = all.into_iter().filter(|_| !self.chance.one_in(3)).collect();
        self.show(has_endpoints);
    }

    /// Operators change their minds; workers hear of it one by one.
    pub(crate) fn decide_anew(&mut self) {
        let has_bands = !self.config.objectives.is_empty();
        let flow = any_flow(&mut self.chance, self.crowd, has_bands);
        self.config.flow = (!self.chance.one_in(3)).then_some(flow);
        self.evictions.go_by(self.config.flow.as_ref());
        self.members.values_mut().for_each(|member| member.is_up_to_date = false);
    }

    /// Has each worker hear of the latest configuration once in so many times.
    pub(crate) fn configure_some(&mut self, times: u32) {
        for queue in self.queues() {
            if self.member(queue).is_up_to_date || !self.chance.one_in(times) {
                continue;
            }
            let config = self.config.clone();
            self.run(queue, Input::Configured(Box::new(config.clone())));
            self.set_tick_period(queue);
            self.member(queue).is_up_to_date = true;
            self.goes_by(queue, config.flow);
        }
    }

    fn goes_by(&mut self, queue: QueueId, flow: Option<FlowConfig>) {
        let member = self.member(queue);
        if member.flow == flow {
            return;
        }
        member.flow = flow;
        if self.store.ledger().lease.queue == queue {
            self.witness.forget();
        }
        (self.last_turmoil, self.last_handover) = (self.now, self.now);
    }
}
