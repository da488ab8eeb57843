//! The totals of one pool, by model, endpoint and flow, out of which the status page makes latencies, rates
//! and shares of a window of time.

use std::{collections::BTreeMap, net::SocketAddr};

use wire::tally::{Agreement, Count, FamilyKind, Labels, Measure, QueueOutcome};

/// Totals of one pool since the scraper began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PoolTotals {
    /// All models and endpoints together.
    pub(crate) all: ServedTotals,
    /// By the model that requests were sent to.
    pub(crate) models: BTreeMap<String, ServedTotals>,
    pub(crate) endpoints: BTreeMap<SocketAddr, ServedTotals>,
    /// Requests that flow control let go, by priority and tenant.
    pub(crate) dispatched: BTreeMap<(i32, String), u64>,
    pub(crate) observed: ObservedTotals,
}

/// Totals of requests that were served together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServedTotals {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Output tokens, by the engines' usage.
    pub(crate) tokens: u64,
    /// Times to the first token.
    pub(crate) ttft: Count,
    /// Times between events.
    pub(crate) itl: Count,
}

/// Totals of what the picker saw while it only looked on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ObservedTotals {
    /// Requests that went where the picker would have sent them.
    pub(crate) same: u64,
    /// Requests that went elsewhere.
    pub(crate) other: u64,
    /// Requests of which Envoy did not say where they went.
    pub(crate) unknown: u64,
    /// Requests that flow control would have held or turned away.
    pub(crate) overruled: u64,
    /// Expected times to the first token, of those that went to the same endpoint.
    pub(crate) expected: Count,
    /// Times to the first token of the same requests.
    pub(crate) took: Count,
}

impl PoolTotals {
    /// Takes in one count.
    pub(super) fn add(&mut self, labels: &Labels<'_>, measure: Measure, count: &Count) {
        match labels {
            Labels::Request { sent, tenant, priority, .. } => {
                if measure == Measure::QueueDuration(QueueOutcome::Dispatched) {
                    let flow = (*priority, tenant.clone().into_owned());
                    *self.dispatched.entry(flow).or_default() += count.buckets.iter().sum::<u64>();
                }
                self.all.add(measure, count);
                self.models.entry(sent.clone().into_owned()).or_default().add(measure, count);
            }
            Labels::Endpoint(Some(endpoint)) => {
                self.endpoints.entry(*endpoint).or_default().add(measure, count);
            }
            Labels::Pool => self.observed.add(measure, count),
            Labels::Endpoint(None)
            | Labels::Band(_)
            | Labels::Attempt { .. }
            | Labels::Rewrite { .. }
            | Labels::Waiting { .. }
            | Labels::Sent { .. }
            | Labels::Plugin { .. }
            | Labels::Model(_) => (),
        }
    }

    /// Returns what is new since earlier totals.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            all: self.all.since(&earlier.all),
            models: since(&self.models, &earlier.models),
            endpoints: since(&self.endpoints, &earlier.endpoints),
            dispatched: (self.dispatched.iter())
                .map(|(flow, now)| {
                    let before = earlier.dispatched.get(flow).copied().unwrap_or_default();
                    (flow.clone(), now.saturating_sub(before))
                })
                .collect(),
            observed: self.observed.since(&earlier.observed),
        }
    }
}

fn since<K: Clone + Ord>(
    now: &BTreeMap<K, ServedTotals>,
    earlier: &BTreeMap<K, ServedTotals>,
) -> BTreeMap<K, ServedTotals> {
    let none = ServedTotals::default();
    let new = |(key, now): (&K, &ServedTotals)| {
        (key.clone(), now.since(earlier.get(key).unwrap_or(&none)))
    };
    now.iter().map(new).collect()
}

impl ServedTotals {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are not of what is served")]
    fn add(&mut self, measure: Measure, count: &Count) {
        match measure {
            Measure::Requests | Measure::EndpointRequests => self.requests += count.sum,
            Measure::Errors(_) | Measure::EndpointErrors => self.errors += count.sum,
            Measure::OutputTokens | Measure::EndpointTokens => self.tokens += count.sum,
            Measure::Ttft { .. } | Measure::EndpointTtft => self.ttft.merge(count),
            Measure::StreamedItl | Measure::EndpointItl => self.itl.merge(count),
            _ => (),
        }
    }

    /// Returns what is new since earlier totals.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            tokens: self.tokens.saturating_sub(earlier.tokens),
            ttft: self.ttft.since(&earlier.ttft),
            itl: self.itl.since(&earlier.itl),
        }
    }

    /// Returns a quantile of the times to the first token, in milliseconds.
    pub(crate) fn ttft_ms(&self, share: f64) -> Option<f64> {
        quantile_ms(&self.ttft, Measure::EndpointTtft, share)
    }

    /// Returns a quantile of the times between events, in milliseconds.
    pub(crate) fn itl_ms(&self, share: f64) -> Option<f64> {
        quantile_ms(&self.itl, Measure::EndpointItl, share)
    }
}

impl ObservedTotals {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are not of what is observed")]
    fn add(&mut self, measure: Measure, count: &Count) {
        match measure {
            Measure::Observed(Agreement::Same) => self.same += count.sum,
            Measure::Observed(Agreement::Other) => self.other += count.sum,
            Measure::Observed(Agreement::Unknown) => self.unknown += count.sum,
            Measure::Overruled => self.overruled += count.sum,
            Measure::ExpectedTtft => self.expected.merge(count),
            Measure::ObservedTtft => self.took.merge(count),
            _ => (),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            same: self.same.saturating_sub(earlier.same),
            other: self.other.saturating_sub(earlier.other),
            unknown: self.unknown.saturating_sub(earlier.unknown),
            overruled: self.overruled.saturating_sub(earlier.overruled),
            expected: self.expected.since(&earlier.expected),
            took: self.took.since(&earlier.took),
        }
    }

    /// Returns a quantile of the expected times to the first token, in milliseconds.
    pub(crate) fn expected_ms(&self, share: f64) -> Option<f64> {
        quantile_ms(&self.expected, Measure::ExpectedTtft, share)
    }

    /// Returns a quantile of the times that it took, in milliseconds.
    pub(crate) fn took_ms(&self, share: f64) -> Option<f64> {
        quantile_ms(&self.took, Measure::ObservedTtft, share)
    }
}

/// Returns a quantile as Prometheus does: within its bucket values count as spread evenly, and above all
/// bounds as the highest. `None` without values.
fn quantile_ms(count: &Count, measure: Measure, share: f64) -> Option<f64> {
    let FamilyKind::Histogram(bounds) = measure.family().kind else { return None };
    let all = count.buckets.iter().sum::<u64>();
    if all == 0 {
        return None;
    }
    let rank = float(all) * share;
    let (mut below, mut lower) = (0_u64, 0_u64);
    for (values, upper) in count.buckets.iter().zip(bounds) {
        if float(below + values) >= rank && *values > 0 {
            let part = ((rank - float(below)) / float(*values)).clamp(0.0, 1.0);
            return Some((float(lower) + float(upper - lower) * part) / 1_000.0);
        }
        (below, lower) = (below + values, *upper);
    }
    Some(float(lower) / 1_000.0)
}

#[allow(clippy::cast_precision_loss, reason = "a time or a number that people look at")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: impl IntoIterator<Item = u64>) -> ServedTotals {
        let mut ttft = Count::default();
        all.into_iter().for_each(|ms| ttft.record(Measure::EndpointTtft, ms * 1_000));
        ServedTotals { ttft, ..ServedTotals::default() }
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        assert_eq!(times([]).ttft_ms(0.5), None);
        // Of the bucket from 50 to 100 ms: all ten, half of them below the middle.
        assert_eq!(times([70; 10]).ttft_ms(0.5), Some(75.0));
        let mixed = times((0..99).map(|_| 3).chain([150_000]));
        assert_eq!(mixed.ttft_ms(0.99), Some(5.0));
        assert_eq!(mixed.ttft_ms(1.0), Some(120_000.0), "above all bounds");
    }

    #[test]
    fn a_window_has_only_what_came_within_it() {
        let [mut before, mut now] = [PoolTotals::default(), PoolTotals::default()];
        let labels = Labels::request("m", "m", "t", 3);
        let mut dispatched = Count::default();
        let measure = Measure::QueueDuration(QueueOutcome::Dispatched);
        dispatched.record(measure, 10);
        before.add(&labels, measure, &dispatched);
        dispatched.record(measure, 10);
        now.add(&labels, measure, &dispatched);
        now.add(&labels, Measure::Requests, &Count { sum: 4, ..Count::default() });
        let window = now.since(&before);
        assert_eq!(window.dispatched[&(3, "t".to_owned())], 1);
        assert_eq!((window.all.requests, window.models["m"].requests), (4, 4));
        assert_eq!(now.since(&now).all, ServedTotals::default());
    }
}
