//! Metrics, which are global over the VMs: two VMs that define one name share its value.

use crate::status::Status;
use std::collections::BTreeMap;

/// Bits of a metric's id in which Envoy keeps the kind (`Wasm::kMetricTypeMask`).
const KIND_MASK: u32 = 3;
const STEP: u32 = 4;

/// The value of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// A sum that only grows.
    Counter(u64),
    /// An unsigned value: a decrement below zero wraps, as in Envoy.
    Gauge(u64),
    /// Recorded values, in order.
    Histogram(Vec<u64>),
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: BTreeMap<u32, (u32, String)>,
    values: BTreeMap<(u32, String), Metric>,
    defined: u32,
}

impl Metrics {
    pub(crate) fn define(&mut self, kind: u32, name: &str) -> Result<u32, Status> {
        let zero = match kind {
            0 => Metric::Counter(0),
            1 => Metric::Gauge(0),
            2 => Metric::Histogram(Vec::new()),
            _ => return Err(Status::BadArgument),
        };
        self.defined = self.defined.saturating_add(1);
        let id = self.defined.saturating_mul(STEP) | kind;
        let key = (kind, name.to_owned());
        self.ids.insert(id, key.clone());
        self.values.entry(key).or_insert(zero);
        Ok(id)
    }

    pub(crate) fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        if id & KIND_MASK > 1 {
            return Err(Status::BadArgument);
        }
        match self.value(id)? {
            Metric::Counter(_) if offset <= 0 => return Err(Status::BadArgument),
            Metric::Counter(v) | Metric::Gauge(v) => *v = v.wrapping_add_signed(offset),
            Metric::Histogram(_) => return Err(Status::BadArgument),
        }
        Ok(())
    }

    pub(crate) fn record(&mut self, id: u32, value: u64) -> Result<(), Status> {
        match self.value(id)? {
            Metric::Counter(v) => *v = v.wrapping_add(value),
            Metric::Gauge(v) => *v = value,
            Metric::Histogram(values) => values.push(value),
        }
        Ok(())
    }

    pub(crate) fn get(&mut self, id: u32) -> Result<u64, Status> {
        if id & KIND_MASK > 1 {
            return Err(Status::BadArgument);
        }
        match self.value(id)? {
            Metric::Counter(v) | Metric::Gauge(v) => Ok(*v),
            Metric::Histogram(_) => Err(Status::BadArgument),
        }
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Metric> {
        self.values.iter().find(|((_, n), _)| n == name).map(|(_, value)| value)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Metric)> {
        self.values.iter().map(|((_, name), value)| (name.as_str(), value))
    }

    fn value(&mut self, id: u32) -> Result<&mut Metric, Status> {
        let key = self.ids.get(&id).ok_or(Status::NotFound)?;
        self.values.get_mut(key).ok_or(Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shared_and_each_kind_keeps_its_rules() {
        let mut metrics = Metrics::default();
        let [a, b] = [metrics.define(0, "n").unwrap(), metrics.define(0, "n").unwrap()];
        metrics.increment(a, 2).unwrap();
        metrics.increment(b, 3).unwrap();
        assert_eq!(metrics.named("n"), Some(&Metric::Counter(5)));
        assert_eq!(metrics.increment(a, 0), Err(Status::BadArgument));
        let gauge = metrics.define(1, "g").unwrap();
        metrics.increment(gauge, -1).unwrap();
        assert_eq!(metrics.get(gauge), Ok(u64::MAX));
        let histogram = metrics.define(2, "h").unwrap();
        metrics.record(histogram, 7).unwrap();
        assert_eq!(metrics.get(histogram), Err(Status::BadArgument));
        assert_eq!(metrics.record(999, 1), Err(Status::NotFound));
    }
}
