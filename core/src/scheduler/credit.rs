//! The room that the other gateways leave.

use super::Scheduler;
use crate::{
    exchange::{CreditLimit, Others},
    ledger::Ledger,
    model::{Amounts, Instant, Measure},
    saturation::{Budget, Detector, KeptPlaces, Load},
    schedule::Config,
};

impl Scheduler {
    /// Takes what is known of the other gateways from now on; `None` where there is no exchange.
    pub(crate) fn take_others(&mut self, others: Option<Box<Others>>) {
        self.others = others;
        self.share_out();
    }

    /// Returns what is known of the other gateways; `None` without an exchange.
    pub(crate) fn others(&self) -> Option<&Others> {
        self.others.as_deref()
    }

    /// Tells the endpoints how much other gateways may have sent to each.
    pub(super) fn share_out(&mut self) {
        if let (Some(pool), Some(others)) = (&mut self.pool, &self.others) {
            pool.share_out(others);
        }
    }

    /// Returns what the pool has room for, by these loads alone.
    pub(super) fn room(&self, loads: &[Load]) -> Budget {
        let Config { detector, scheduling, .. } = &self.config;
        let in_stages = scheduling.may_compute_apart();
        let room = if in_stages { Detector::room_in_stages } else { Detector::room };
        room(detector, loads)
    }

    /// Returns the most that the pool takes of all gateways, by the detector and by what is known now.
    #[must_use]
    pub(crate) fn limits(&self, now: Instant, ledger: &Ledger) -> Amounts {
        self.limits_by(&self.choosable_loads(now, ledger))
    }

    fn limits_by(&self, loads: &[Load]) -> Amounts {
        if loads.is_empty() || self.config.scheduling.may_compute_apart() {
            // Where prompts are computed apart, a request counts at two endpoints: sums alone hold there.
            return Amounts::default();
        }
        self.config.detector.limits(loads)
    }

    /// Returns the room by these loads that the other gateways leave to this one.
    pub(super) fn room_beside_others(
        &self,
        now: Instant,
        ledger: &Ledger,
        loads: &[Load],
    ) -> Budget {
        let room = self.room(loads).computing(self.prompt_room(loads));
        let mut reserves = self.kept_for_higher(loads);
        let Some(others) = &self.others else {
            return room.keeping(KeptPlaces { floor: None, reserves });
        };
        reserves.extend(others.reserves());
        let room = room.keeping(KeptPlaces { floor: others.highest_waiting(now), reserves });
        let allowance = others.allowance(now);
        let limits = self.limits_by(loads);
        let used = ledger.in_flight();
        Measure::ALL.into_iter().fold(room, |room, measure| match limits.get(measure) {
            Some(limit) => {
                let amount = match allowance {
                    CreditLimit::Credit(credit) => credit.get(measure).unwrap_or(0),
                    CreditLimit::PartOf(gateways) => (limit / gateways.max(1)).max(1),
                };
                room.within(measure, amount, used.get(measure).unwrap_or(0))
            }
            None => room,
        })
    }
}
