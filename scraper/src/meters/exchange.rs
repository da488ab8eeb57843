//! The metrics of the exchange between gateways.

use std::sync::atomic::AtomicU64;

use picker_core::Measure;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::exchange::ExchangeRow;

/// The metrics of the exchange, for each pool and gateway.
#[derive(Debug, Default)]
pub(super) struct ExchangeMeters {
    age: Family<MemberLabels, Gauge<f64, AtomicU64>>,
    events: Family<MemberLabels, Counter>,
    dropped: Family<MemberLabels, Counter>,
    refused: Family<MemberLabels, Counter>,
    credit: Family<MeasureLabels, Gauge<u64, AtomicU64>>,
    used: Family<MeasureLabels, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemberLabels {
    pool: String,
    gateway: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeasureLabels {
    pool: String,
    gateway: String,
    measure: &'static str,
}

impl ExchangeMeters {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "exchange_age",
            "Time since the gateway last told the others what it does",
            Unit::Seconds,
            self.age.clone(),
        );
        let help = "Placements that the gateway told the others";
        registry.register("exchange_events", help, self.events.clone());
        let help = "Placements of others that were dropped before the gateway took them";
        registry.register("exchange_events_dropped", help, self.dropped.clone());
        let help = "Reports of the gateway to the others that were refused";
        registry.register("exchange_reports_refused", help, self.refused.clone());
        let help = "Part of the pool's limit that the gateway may use";
        registry.register("exchange_credit", help, self.credit.clone());
        let help = "Load of the gateway, in the measure of the limit";
        registry.register("exchange_used", help, self.used.clone());
    }

    /// Shows these gateways and no others: of one that started anew the earlier id is gone.
    pub(super) fn show(&self, rows: &[ExchangeRow]) {
        self.age.clear();
        [&self.events, &self.dropped, &self.refused].into_iter().for_each(Family::clear);
        [&self.credit, &self.used].into_iter().for_each(Family::clear);
        for ExchangeRow { pool, status, refused } in rows {
            let (pool, gateway) = (pool.to_string(), format!("{:016x}", status.gateway.0));
            let labels = MemberLabels { pool: pool.clone(), gateway: gateway.clone() };
            self.age.get_or_create(&labels).set(status.age.as_secs_f64());
            self.events.get_or_create(&labels).inc_by(status.events);
            self.dropped.get_or_create(&labels).inc_by(status.dropped);
            self.refused.get_or_create(&labels).inc_by(*refused);
            for measure in Measure::ALL {
                let name = match measure {
                    Measure::Requests => "requests",
                    Measure::Tokens => "tokens",
                };
                let (pool, gateway) = (pool.clone(), gateway.clone());
                let labels = MeasureLabels { pool, gateway, measure: name };
                if let Some(credit) = status.credit.get(measure) {
                    self.credit.get_or_create(&labels).set(credit);
                }
                if let Some(used) = status.used.get(measure) {
                    self.used.get_or_create(&labels).set(used);
                }
            }
        }
    }
}
