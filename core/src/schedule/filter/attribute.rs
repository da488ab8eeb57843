//! By a custom metric (EPP: endpoint-attribute-filter).

use crate::pool::Candidate;

/// A filter that keeps the endpoints with a metric that compares so with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeLimit {
    /// The key that the scraper has it under (EPP: customMetrics, attributeKey).
    pub key: String,
    /// The comparison that has to hold.
    pub operator: Operator,
    /// With what.
    pub value: f64,
    /// Treatment of endpoints without the metric.
    pub on_missing: OnMissing,
    /// True if all are kept where none would be.
    pub fallback_on_empty: bool,
}

/// The treatment of endpoints without the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// Endpoints without it are kept.
    Pass,
    /// Endpoints without it are dropped.
    Fail,
}

impl OnMissing {
    /// By the EPP's names.
    pub const NAMED: [(&str, Self); 2] = [("Pass", Self::Pass), ("Fail", Self::Fail)];
}

/// The comparison of a metric with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Below the value.
    LessThan,
    /// At most.
    LessThanOrEqual,
    /// Above it.
    GreaterThan,
    /// At least.
    GreaterThanOrEqual,
    /// Just that.
    Equal,
    /// Anything else.
    NotEqual,
}

impl Operator {
    /// By the EPP's names.
    pub const NAMED: [(&str, Self); 6] = [
        ("LessThan", Self::LessThan),
        ("LessThanOrEqual", Self::LessThanOrEqual),
        ("GreaterThan", Self::GreaterThan),
        ("GreaterThanOrEqual", Self::GreaterThanOrEqual),
        ("Equal", Self::Equal),
        ("NotEqual", Self::NotEqual),
    ];

    #[allow(clippy::float_cmp, reason = "whoever asks for equality means it, as with a flag")]
    fn holds(self, found: f64, value: f64) -> bool {
        match self {
            Self::LessThan => found < value,
            Self::LessThanOrEqual => found <= value,
            Self::GreaterThan => found > value,
            Self::GreaterThanOrEqual => found >= value,
            Self::Equal => found == value,
            Self::NotEqual => found != value,
        }
    }
}

impl Default for AttributeLimit {
    /// Returns a filter that keeps all; a configuration has to name a metric.
    fn default() -> Self {
        Self {
            key: String::new(),
            operator: Operator::GreaterThanOrEqual,
            value: f64::NEG_INFINITY,
            on_missing: OnMissing::Pass,
            fallback_on_empty: false,
        }
    }
}

impl AttributeLimit {
    pub(super) fn apply(&self, candidates: &mut Vec<Candidate<'_>>) {
        let keeps = |it: &Candidate<'_>| match it.attribute(&self.key) {
            Some(found) => self.operator.holds(found, self.value),
            None => self.on_missing == OnMissing::Pass,
        };
        if !self.fallback_on_empty || candidates.iter().any(keeps) {
            candidates.retain(keeps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{EngineLoad, tests::measured};

    #[test]
    fn as_in_the_epp() {
        let gauges = Some(EngineLoad { waiting: 0, running: 0, kv_usage: 0.0 });
        let members = [Some(1.0), Some(2.0), Some(3.0), None].map(|it| measured("load", it));
        let kept = |limit: &AttributeLimit| {
            let candidate = |it| Candidate { gauges, ..Candidate::idle(it, 0) };
            let mut candidates: Vec<_> = members.iter().map(candidate).collect();
            limit.apply(&mut candidates);
            candidates.iter().map(|it| it.attribute("load").unwrap_or(0.0)).collect::<Vec<f64>>()
        };
        let limit = |operator| AttributeLimit {
            key: "load".to_owned(),
            operator,
            value: 2.0,
            on_missing: OnMissing::Fail,
            fallback_on_empty: false,
        };
        let expected: [&[f64]; 6] = [&[1.0], &[1.0, 2.0], &[3.0], &[2.0, 3.0], &[2.0], &[1.0, 3.0]];
        for ((name, operator), expected) in Operator::NAMED.into_iter().zip(expected) {
            assert_eq!(kept(&limit(operator)), expected, "{name}");
        }
        let missing = AttributeLimit { on_missing: OnMissing::Pass, ..limit(Operator::Equal) };
        assert_eq!(kept(&missing), [2.0, 0.0]);
        let none = AttributeLimit { value: 9.0, ..limit(Operator::Equal) };
        assert!(kept(&none).is_empty());
        assert_eq!(kept(&AttributeLimit { fallback_on_empty: true, ..none }).len(), 4);
        assert_eq!(kept(&AttributeLimit::default()).len(), 4);
    }
}
