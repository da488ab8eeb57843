//! The requests of a run: how they come, where they go, how they end.

use super::{GateEvent, GateWorld, GatedJob, HOP, millis};
use crate::adaptive::{
    draw::Drawn,
    gateway::{Ending, WORKERS},
};

impl GateWorld<'_> {
    pub(super) fn arrive(&mut self) {
        let Some(load) = self.scenario.load(self.now) else { return };
        let rate = if self.is_idle {
            let drawn = self.dice.interactive(self.scenario);
            self.admit(drawn);
            0.05 * self.capacity
        } else {
            let drawn = self.dice.request(self.scenario);
            let burst = self.scenario.burst;
            if drawn.is_interactive && burst > 1 {
                // One in so many comes as that many at once.
                let count = if self.dice.below(burst) == 0 { burst } else { 0 };
                for _ in 0..count {
                    let drawn = self.dice.interactive(self.scenario);
                    self.admit(drawn);
                }
            } else {
                self.admit(drawn);
            }
            load * (1.0 - self.scenario.strangers) * self.capacity
        };
        let pause = self.dice.pause(rate);
        self.schedule(self.now + pause, GateEvent::Arrive);
    }

    /// Brings a request to a gateway: to the first most often, as load balancers do.
    fn admit(&mut self, drawn: Drawn) {
        let gateways = self.gateways.len();
        let share = self.dice.share();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a few gateways"
        )]
        let gateway = (share * share * gateways as f64) as usize;
        let worker = self.dice.below(WORKERS);
        let job = GatedJob {
            drawn,
            arrived: self.now,
            gateway: gateway.min(gateways.saturating_sub(1)),
            worker,
            pod: None,
            first: None,
            is_over: false,
            is_strange: false,
            has_counted: false,
        };
        self.enter(job);
    }

    fn enter(&mut self, job: GatedJob) {
        let request = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.jobs.push(job);
        if let Some(gateway) = self.gateways.get_mut(job.gateway) {
            gateway.arrive(self.now, job.worker, request, job.drawn);
        }
        self.obey(job.gateway);
    }

    /// Sends a request to some pod, past the gateways.
    pub(super) fn stranger(&mut self) {
        let Some(load) = self.scenario.load(self.now) else { return };
        let drawn = self.dice.request(self.scenario);
        let pod = self.dice.below(self.servers.len());
        let request = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.jobs.push(GatedJob {
            drawn,
            arrived: self.now,
            gateway: 0,
            worker: 0,
            pod: Some(pod),
            first: None,
            is_over: false,
            is_strange: true,
            has_counted: true,
        });
        let life = self.servers.get(pod).map_or(0, |server| server.life);
        self.schedule(self.now + HOP, GateEvent::Reach { request, pod, life });
        let rate = self.scenario.strangers * load.min(0.9) * self.capacity;
        let pause = self.dice.pause(rate);
        self.schedule(self.now + pause, GateEvent::Stranger);
    }

    pub(super) fn reach(&mut self, request: u32, pod: usize, life: u64) {
        let Some(job) = self.jobs.get(request as usize).copied() else { return };
        let Some(server) = self.servers.get_mut(pod) else { return };
        if !server.is_up || server.life != life {
            self.lose(request);
            return;
        }
        for effect in server.take(self.now, request, job.drawn) {
            self.take(pod, &effect);
        }
    }

    /// Tells the gateway that a request's pod is gone. The client asks again at once; a request that had
    /// begun to be answered counts its time to the first token no more.
    pub(super) fn lose(&mut self, request: u32) {
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        if job.is_over {
            return;
        }
        job.is_over = true;
        let lost = *job;
        job.has_counted = true;
        if lost.is_strange {
            return;
        }
        if let Some(gateway) = self.gateways.get_mut(lost.gateway) {
            gateway.lose(self.now, lost.worker, request, lost.first.is_some());
        }
        self.obey(lost.gateway);
        self.enter(GatedJob { pod: None, first: None, is_over: false, ..lost });
    }

    pub(super) fn begin(&mut self, request: u32) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        if job.is_over {
            return;
        }
        if job.drawn.is_interactive && !job.has_counted {
            self.outcome.ttfts.push(millis(now.saturating_sub(job.arrived)));
        }
        job.has_counted = true;
        let (gateway, worker) = (job.gateway, job.worker);
        if let Some(it) = self.gateways.get_mut(gateway) {
            it.begin(now, worker, request);
        }
        self.obey(gateway);
    }

    pub(super) fn end(&mut self, request: u32, tokens: usize) {
        let Some(job) = self.jobs.get_mut(request as usize) else { return };
        if std::mem::replace(&mut job.is_over, true) {
            return;
        }
        let job = *job;
        let further = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
        let took = job.first.map(|first| (self.now - HOP).saturating_sub(first));
        let step = took.filter(|_| further > 0).map(|took| took / further);
        let ending = Ending { request, tokens: (job.drawn.prompt, tokens), step };
        if let Some(gateway) = self.gateways.get_mut(job.gateway) {
            gateway.end(self.now, job.worker, ending);
        }
        self.obey(job.gateway);
    }
}
