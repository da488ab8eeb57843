//! The bands of a pool's flow control: what waits, for how long, and which share each tenant got.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use wire::report::{Queue, Report};

use crate::{settings::Objectives, tallies::PoolTotals};

/// Tenants that are shown of one band. The others of it are counted in its sums.
const TENANTS_MAX: usize = 64;

/// A band over all gateways.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BandState {
    pub(super) priority: i32,
    /// Objectives of this priority, by name.
    pub(super) objectives: Vec<String>,
    /// All tenants together.
    pub(super) sum: FlowState,
    /// Tenants, those that wait longest first. At most [`TENANTS_MAX`].
    pub(super) tenants: Vec<(String, FlowState)>,
    /// Number of tenants, the ones that are not shown among them.
    pub(super) tenant_count: usize,
}

/// The requests of one tenant, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FlowState {
    /// Requests that wait.
    pub(super) requests: u64,
    /// Bytes of those.
    pub(super) bytes: u64,
    /// Time that the oldest of them has waited; `None` if none waits, or an older gateway does not tell.
    pub(super) oldest: Option<Duration>,
    /// Requests that were let go within the window.
    pub(super) dispatched: u64,
}

impl FlowState {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.oldest = self.oldest.max(other.oldest);
        self.dispatched += other.dispatched;
    }
}

/// Returns the bands in which requests wait or were let go within the window, the highest first.
pub(super) fn bands(
    reports: &[&Report],
    window: &PoolTotals,
    objectives: Option<&Objectives>,
) -> Vec<BandState> {
    let mut bands = BTreeMap::<Reverse<i32>, BTreeMap<&str, FlowState>>::new();
    for report in reports {
        let oldest = report.details.oldest.iter().copied().map(Some);
        let queues = report.queues.iter().zip(oldest.chain(std::iter::repeat(None)));
        for (Queue { priority, fairness_id, requests, bytes }, oldest) in queues {
            let band = bands.entry(Reverse(*priority)).or_default();
            let waiting = FlowState { requests: *requests, bytes: *bytes, oldest, dispatched: 0 };
            band.entry(fairness_id).or_default().add(waiting);
        }
    }
    for ((priority, tenant), dispatched) in &window.dispatched {
        let band = bands.entry(Reverse(*priority)).or_default();
        let sent = FlowState { dispatched: *dispatched, ..FlowState::default() };
        band.entry(tenant).or_default().add(sent);
    }
    let configured = reports.iter().flat_map(|report| &report.details.objectives);
    let mut named = objectives.map(Objectives::to_vec).unwrap_or_default();
    named.extend(configured.cloned());
    named.sort_by(|one, other| one.name.cmp(&other.name));
    named.dedup_by(|one, other| one.name == other.name && one.priority == other.priority);
    let band = |(Reverse(priority), tenants): (Reverse<i32>, BTreeMap<&str, FlowState>)| {
        let mut sum = FlowState::default();
        tenants.values().for_each(|flow| sum.add(*flow));
        let mut tenants: Vec<(String, FlowState)> =
            tenants.into_iter().map(|(name, flow)| (name.to_owned(), flow)).collect();
        tenants.retain(|(_, flow)| flow.requests > 0 || flow.dispatched > 0);
        tenants.sort_by_key(|(_, flow)| Reverse((flow.oldest, flow.requests, flow.dispatched)));
        let tenant_count = tenants.len();
        tenants.truncate(TENANTS_MAX);
        let objectives = named.iter().filter(|it| it.priority.0 == priority);
        let objectives = objectives.map(|it| it.name.clone()).collect();
        BandState { priority, objectives, sum, tenants, tenant_count }
    };
    bands.into_iter().map(band).filter(|band| band.tenant_count > 0).collect()
}

#[cfg(test)]
mod tests {
    use picker_core::{Objective, flow::Priority};
    use wire::details::Details;

    use super::*;

    #[test]
    fn waits_and_shares_are_those_of_all_gateways() {
        let queue = |priority, tenant: &str, requests| Queue {
            priority,
            fairness_id: tenant.to_owned(),
            requests,
            bytes: 10,
        };
        let gateway = |queues: Vec<Queue>, seconds: &[u64]| Report {
            queues,
            details: Details {
                oldest: seconds.iter().map(|it| Duration::from_secs(*it)).collect(),
                ..Details::default()
            },
            ..Report::default()
        };
        let one = gateway(vec![queue(0, "a", 3), queue(10, "b", 1)], &[52, 1]);
        let other = gateway(vec![queue(0, "a", 4)], &[60]);
        let older = gateway(vec![queue(0, "c", 4)], &[]);
        let dispatched = [((10, "b".to_owned()), 7), ((-1, "gone".to_owned()), 0)];
        let window = PoolTotals { dispatched: dispatched.into(), ..PoolTotals::default() };
        let batch = Objective { name: "batch".to_owned(), priority: Priority(0) };
        let objectives = Objectives::new(vec![batch]).unwrap();
        let found = bands(&[&one, &other, &older], &window, Some(&objectives));
        let line = |band: &BandState| {
            let BandState { priority, objectives, sum, tenants, .. } = band;
            format!(
                "{priority} {objectives:?} {sum:?} {:?}",
                tenants.iter().map(|it| &it.0).collect::<Vec<_>>()
            )
        };
        insta::assert_snapshot!(found.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
        10 [] FlowState { requests: 1, bytes: 10, oldest: Some(1s), dispatched: 7 } ["b"]
        0 ["batch"] FlowState { requests: 11, bytes: 30, oldest: Some(60s), dispatched: 0 } ["a", "c"]
        "#);
    }
}
