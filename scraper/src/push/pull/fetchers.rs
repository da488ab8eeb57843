//! The gateways that fetch their snapshots. A gateway is known by its id, which its reports are signed with, and
//! from its first report that was taken: a stranger's request makes none, and gateways behind one address are told
//! apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use picker_core::exchange::GatewayId;
use wire::push::{Clocks, PushHistory, Stamp};

use super::super::{
    pusher::{EnvoyStatus, TimedReport},
    reader::ReadReply,
};
use crate::peer::network;

/// Gateways that are remembered: four times as many as a scraper pushes to, as each start of one is another.
const GATEWAYS_MAX: usize = 1024;

/// Time after which a gateway that has not asked is gone. By then no report of it is in time any more, so that none
/// can be repeated: stamps are taken within 30 s of the clock, in the past or the future.
const SILENCE_MAX: Duration = Duration::from_secs(61);

/// Time after which a gateway that has not asked is taken for an earlier start of a younger one at its address.
const RESTART_AFTER: Duration = Duration::from_secs(3);

/// The gateways that fetch, shared by all requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetchers(Arc<Mutex<BTreeMap<GatewayId, FetchingGateway>>>);

/// A gateway that fetches.
#[derive(Debug)]
struct FetchingGateway {
    address: IpAddr,
    /// Time when the gateway last asked.
    at: Instant,
    /// Stamps of the reports on each pool that were taken.
    histories: BTreeMap<Arc<str>, PushHistory>,
    /// Last report on each pool.
    reports: BTreeMap<Arc<str>, TimedReport>,
    /// True if the gateway takes part in the exchange.
    is_member: bool,
}

/// A gateway's own report on a pool, as its headers tell of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportSender<'a> {
    pub(super) gateway: GatewayId,
    pub(super) pool: &'a Arc<str>,
    pub(super) address: IpAddr,
    pub(super) stamp: Stamp,
}

impl Fetchers {
    /// Returns the gateways with their names, as those that are pushed to are seen: taken is when each last asked.
    /// The name is the address, with the id behind it where there are several.
    pub(super) fn statuses(&self, now: Instant) -> Vec<(String, EnvoyStatus)> {
        let mut gateways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut gateways, now);
        let mut youngest = BTreeMap::<IpAddr, Instant>::new();
        for it in gateways.values() {
            let at = youngest.entry(it.address).or_insert(it.at);
            *at = it.at.max(*at);
        }
        let is_here = |it: &FetchingGateway| {
            let newest = youngest.get(&it.address).copied().unwrap_or(it.at);
            it.at == newest || now.saturating_duration_since(it.at) < RESTART_AFTER
        };
        let here = || gateways.iter().filter(|(_, it)| is_here(it));
        let mut once = BTreeSet::new();
        let shared: BTreeSet<IpAddr> =
            here().map(|(_, it)| it.address).filter(|it| !once.insert(*it)).collect();
        let mut all: Vec<_> = here().collect();
        all.sort_by_key(|(id, it)| (it.address, **id));
        let status = |(id, it): (&GatewayId, &FetchingGateway)| {
            let name = match shared.contains(&it.address) {
                true => format!("{} ({:016x})", it.address, id.0),
                false => it.address.to_string(),
            };
            let (reports, member) = (it.reports.clone(), it.is_member.then_some(*id));
            (name, EnvoyStatus { taken: Some(it.at), down: None, reports, member })
        };
        all.into_iter().map(status).collect()
    }

    /// True while a gateway is there at this address of which a report was taken.
    pub(super) fn is_known(&self, address: IpAddr, now: Instant) -> bool {
        let gateways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_here = |it: &FetchingGateway| {
            network(it.address) == network(address)
                && now.saturating_duration_since(it.at) < SILENCE_MAX
        };
        gateways.values().any(is_here)
    }

    /// Records that the gateway at this address asked without a report: of several, the one that asked last.
    pub(super) fn asked(&self, address: IpAddr, now: Instant) {
        let mut gateways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = gateways.values_mut().filter(|it| it.address == address);
        if let Some(youngest) = own.max_by_key(|it| it.at) {
            youngest.at = now;
        }
    }

    /// Checks that a report is not recorded, before it is read. Its signature is not known to be right yet.
    ///
    /// # Errors
    /// For one that is too old, or not newer than those that were taken, in words.
    pub(super) fn check(&self, sender: ReportSender<'_>, clocks: Clocks) -> Result<(), String> {
        let gateways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = gateways.get(&sender.gateway).and_then(|it| it.histories.get(sender.pool));
        let taken = known.cloned().unwrap_or_default().take(clocks, sender.stamp);
        taken.map(drop).map_err(|why| why.to_string())
    }

    /// Records a report of which the signature is right, in one step with the check that it is newer than those
    /// that were taken: of two that are on their way at once, the older one may come last.
    ///
    /// # Errors
    /// For one that is too old, or not newer, or where there is no room for its gateway, in words.
    pub(super) fn take(
        &self,
        sender: ReportSender<'_>,
        clocks: Clocks,
        now: Instant,
    ) -> Result<(), String> {
        let mut gateways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut gateways, now);
        // Without a history a report could be repeated.
        if gateways.len() >= GATEWAYS_MAX && !gateways.contains_key(&sender.gateway) {
            return Err(format!("found more gateways that fetch; allowed: {GATEWAYS_MAX}"));
        }
        let known = gateways.get(&sender.gateway).and_then(|it| it.histories.get(sender.pool));
        let taken = known.cloned().unwrap_or_default().take(clocks, sender.stamp);
        let history = taken.map_err(|why| why.to_string())?;
        let new = || FetchingGateway {
            address: sender.address,
            at: now,
            histories: BTreeMap::new(),
            reports: BTreeMap::new(),
            is_member: false,
        };
        let gateway = gateways.entry(sender.gateway).or_insert_with(new);
        (gateway.address, gateway.at) = (sender.address, now);
        gateway.histories.insert(Arc::clone(sender.pool), history);
        Ok(())
    }

    /// Keeps what a report says, which was taken.
    pub(super) fn keep(&self, sender: ReportSender<'_>, reply: ReadReply, now: Instant) {
        let mut gateways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gateway) = gateways.get_mut(&sender.gateway) {
            gateway.is_member = reply.member.is_some();
            let report = reply.report.map(|report| TimedReport { at: now, report });
            gateway.reports.extend(report.map(|report| (Arc::clone(sender.pool), report)));
        }
    }
}

fn forget(gateways: &mut BTreeMap<GatewayId, FetchingGateway>, now: Instant) {
    gateways.retain(|_, it| now.saturating_duration_since(it.at) < SILENCE_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_MS: u64 = 1_000_000;

    fn clocks() -> Clocks {
        Clocks { wall_ms: WALL_MS, steady: picker_core::Instant::from_nanos(1_000_000_000) }
    }

    fn sender(pool: &Arc<str>, gateway: u64, uptime_ms: u64) -> ReportSender<'_> {
        let start = u32::try_from(gateway).unwrap();
        let stamp = Stamp::new(WALL_MS + uptime_ms, start, uptime_ms);
        ReportSender { gateway: GatewayId(gateway), pool, address: [10, 0, 0, 1].into(), stamp }
    }

    #[test]
    fn of_two_reports_on_their_way_the_older_one_sets_nothing_back() {
        let (fetchers, pool, now) = (Fetchers::default(), Arc::from("a"), Instant::now());
        let [older, newer] = [1, 2].map(|uptime| sender(&pool, 1, uptime));
        for sender in [older, newer] {
            fetchers.check(sender, clocks()).unwrap();
        }
        fetchers.take(newer, clocks(), now).unwrap();
        for sender in [older, newer] {
            assert!(
                fetchers.take(sender, clocks(), now).is_err()
                    && fetchers.check(sender, clocks()).is_err()
            );
        }
        let elsewhere = ReportSender { address: [10, 0, 0, 2].into(), ..newer };
        assert!(fetchers.take(elsewhere, clocks(), now).is_err(), "from another address");
        fetchers.take(sender(&pool, 1, 3), clocks(), now).unwrap();
    }

    #[test]
    fn gateways_behind_one_address_are_told_apart_however_late_their_clocks_are() {
        let (fetchers, pool, now) = (Fetchers::default(), Arc::from("a"), Instant::now());
        fetchers.take(sender(&pool, 1, 20_000), clocks(), now).unwrap();
        fetchers.take(sender(&pool, 2, 10), clocks(), now).unwrap();
        fetchers.take(sender(&pool, 1, 20_001), clocks(), now).unwrap();
        let names =
            |now| fetchers.statuses(now).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(now), ["10.0.0.1 (0000000000000001)", "10.0.0.1 (0000000000000002)"]);
        // One starts again, and has another id.
        let later = now + RESTART_AFTER;
        fetchers.take(sender(&pool, 3, 20_002), clocks(), later).unwrap();
        assert_eq!(names(later), ["10.0.0.1"]);
    }

    #[test]
    fn what_a_stranger_asks_makes_no_gateway() {
        let (fetchers, now) = (Fetchers::default(), Instant::now());
        fetchers.asked([10, 0, 0, 9].into(), now);
        assert!(fetchers.statuses(now).is_empty());
        assert!(!fetchers.is_known([10, 0, 0, 9].into(), now));
        let pool = Arc::from("a");
        fetchers.take(sender(&pool, 1, 1), clocks(), now).unwrap();
        let later = now + SILENCE_MAX / 2;
        fetchers.asked([10, 0, 0, 1].into(), later);
        assert!(fetchers.is_known([10, 0, 0, 1].into(), now + SILENCE_MAX));
        assert_eq!(fetchers.statuses(later + SILENCE_MAX).len(), 0);
    }

    #[test]
    fn above_the_limit_no_report_is_taken_that_could_be_repeated() {
        let (fetchers, pool, now) = (Fetchers::default(), Arc::from("a"), Instant::now());
        for gateway in 1..=GATEWAYS_MAX {
            fetchers
                .take(sender(&pool, u64::try_from(gateway).unwrap(), 1), clocks(), now)
                .unwrap();
        }
        assert!(fetchers.take(sender(&pool, 9_999, 1), clocks(), now).is_err());
        fetchers.take(sender(&pool, 1, 2), clocks(), now).unwrap();
        fetchers.take(sender(&pool, 9_999, 1), clocks(), now + SILENCE_MAX).unwrap();
    }
}
