//! All bands, highest first.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use super::{
    BandConfig, BandSelectionPolicy, FairnessId, Floors, FlowConfig, FlowKey, Limits, Share, Usage,
    UsageLimitPolicy, band::Band, usage_limit::Standing,
};
use crate::{
    model::{Instant, Priority},
    saturation::Budget,
};

/// The most bands that objectives may add to, static ones included. Every dispatch looks at all of
/// them; no operator has more classes of service than this.
pub const BANDS_MAX: usize = 64;

/// Time for which a band is kept after its last objective and its last request are gone (EPP:
/// dynamic band garbage collection).
const BAND_IDLE_MAX: Duration = Duration::from_secs(10 * 60);

/// The size of one band (`flow_control_capacity_utilization_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandSize {
    /// The band's priority.
    pub priority: Priority,
    /// Requests and bytes that wait.
    pub usage: Usage,
    /// Requests and bytes that may wait.
    pub limits: Limits,
}

/// The size of one flow (`flow_control_queue_size`, `flow_control_queue_bytes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSize {
    /// The flow. The tenant is "other" for all that got no row of their own.
    pub flow: FlowKey,
    /// Requests and bytes that wait.
    pub usage: Usage,
    /// First arrival of the request that has waited longest.
    pub oldest: Instant,
}

/// The bands of one pool.
#[derive(Clone, Debug)]
pub(super) struct Bands {
    bands: BTreeMap<Reverse<Priority>, BandEntry>,
}

#[derive(Clone, Debug)]
struct BandEntry {
    band: Band,
    origin: Origin,
}

/// The reason for which a band exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The configuration names it, or it is priority 0.
    Static,
    /// An objective asks for it.
    Wanted,
    /// An objective did.
    Unwanted(Instant),
}

/// The answer to a request that asks to pass those that wait, of which there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The band that serves the request.
    priority: Priority,
    /// True if the band may send.
    is_open: bool,
    /// The band's turns once the request has asked.
    turns: u32,
}

/// Number of bands, and the priorities between which they lie.
#[derive(Clone, Copy, Debug)]
struct Extent {
    bands: u32,
    highest: Priority,
    lowest: Priority,
}

impl Extent {
    fn standing(self, priority: Priority, rank: u32) -> Standing {
        let Self { bands, highest, lowest } = self;
        Standing { priority, rank, bands, highest, lowest }
    }
}

impl Passage {
    /// True if the request may go at once.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.is_open
    }
}

impl Bands {
    pub(super) fn new(config: &FlowConfig, now: Instant) -> Self {
        let entry = |(&priority, band): (&Priority, &BandConfig)| {
            let band = Band::new(priority, band.clone(), now);
            (Reverse(priority), BandEntry { band, origin: Origin::Static })
        };
        let zero = (&Priority(0), config.template(Priority(0)));
        Self { bands: std::iter::once(zero).chain(&config.bands).map(entry).collect() }
    }

    /// Makes the bands that objectives ask for, and lets go of those that none asks for any more.
    /// Returns how many found no place.
    pub(super) fn provision(
        &mut self,
        now: Instant,
        config: &FlowConfig,
        wanted: &[Priority],
    ) -> usize {
        for entry in self.bands.values_mut().filter(|entry| entry.origin == Origin::Wanted) {
            if !wanted.contains(&entry.band.priority) {
                entry.origin = Origin::Unwanted(now);
            }
        }
        wanted.iter().filter(|priority| !self.want(now, config, **priority)).count()
    }

    fn want(&mut self, now: Instant, config: &FlowConfig, priority: Priority) -> bool {
        if let Some(entry) = self.bands.get_mut(&Reverse(priority)) {
            if entry.origin != Origin::Static {
                entry.origin = Origin::Wanted;
            }
            return true;
        }
        if self.bands.len() >= BANDS_MAX {
            return false;
        }
        let band = Band::new(priority, config.template(priority).clone(), now);
        self.bands.insert(Reverse(priority), BandEntry { band, origin: Origin::Wanted });
        true
    }

    /// Returns the band that serves a priority: its own, or that of priority 0 if it has none.
    pub(super) fn resolve(&self, priority: Priority) -> Priority {
        if self.bands.contains_key(&Reverse(priority)) { priority } else { Priority(0) }
    }

    pub(super) fn get(&self, priority: Priority) -> Option<&Band> {
        self.bands.get(&Reverse(priority)).map(|entry| &entry.band)
    }

    pub(super) fn get_mut(&mut self, priority: Priority) -> Option<&mut Band> {
        self.bands.get_mut(&Reverse(priority)).map(|entry| &mut entry.band)
    }

    /// Decides which bands may send at this saturation, and which may take the places that are left.
    pub(super) fn gate(&mut self, policy: &UsageLimitPolicy, budget: &Budget) {
        let saturation = budget.saturation();
        for (standing, band) in self.standings() {
            band.open = band.usage.requests > 0
                && budget.admits(band.priority)
                && saturation < policy.ceiling(standing, saturation, &mut band.turns);
        }
    }

    /// Tells whether one band may send at this saturation. Nothing changes.
    pub(super) fn passage(
        &self,
        policy: &UsageLimitPolicy,
        priority: Priority,
        saturation: f64,
    ) -> Option<Passage> {
        let mut turns = self.get(priority)?.turns;
        let standing = self.standing(priority)?;
        let is_open = saturation < policy.ceiling(standing, saturation, &mut turns);
        Some(Passage { priority, is_open, turns })
    }

    /// Returns the ceiling of one band at this saturation. Nothing changes.
    pub(super) fn ceiling(
        &self,
        policy: &UsageLimitPolicy,
        priority: Priority,
        saturation: f64,
    ) -> Option<f64> {
        let mut turns = self.get(priority)?.turns;
        Some(policy.ceiling(self.standing(priority)?, saturation, &mut turns))
    }

    /// Returns the highest priority with requests that wait.
    pub(super) fn first_waiting(&self) -> Option<Priority> {
        let bands = self.bands.values().map(|entry| &entry.band);
        bands.into_iter().find(|band| band.usage.requests > 0).map(|band| band.priority)
    }

    /// Counts what a request was told that asked to pass.
    pub(super) fn count(&mut self, passage: Passage) {
        if let Some(band) = self.get_mut(passage.priority) {
            band.turns = passage.turns;
        }
    }

    fn standing(&self, priority: Priority) -> Option<Standing> {
        let rank = self.bands.keys().position(|Reverse(other)| *other == priority)?;
        Some(self.extent().standing(priority, u32::try_from(rank).unwrap_or(u32::MAX)))
    }

    fn extent(&self) -> Extent {
        let first = self.bands.first_key_value().map(|(Reverse(priority), _)| *priority);
        let last = self.bands.last_key_value().map(|(Reverse(priority), _)| *priority);
        Extent {
            bands: u32::try_from(self.bands.len()).unwrap_or(u32::MAX),
            highest: first.unwrap_or_default(),
            lowest: last.unwrap_or_default(),
        }
    }

    /// Returns each band and where it stands among all, highest first.
    fn standings(&mut self) -> impl Iterator<Item = (Standing, &mut Band)> {
        let extent = self.extent();
        (0..)
            .zip(self.bands.values_mut())
            .map(move |(rank, entry)| (extent.standing(entry.band.priority, rank), &mut entry.band))
    }

    /// Returns the bands that may send and have something to, highest first.
    fn open(&mut self) -> impl Iterator<Item = &mut Band> {
        self.bands.values_mut().map(|entry| &mut entry.band).filter(|band| band.open)
    }

    /// Returns the band to dispatch from, among those that are open.
    pub(super) fn select(&mut self, policy: &BandSelectionPolicy) -> Option<Priority> {
        match policy {
            BandSelectionPolicy::Strict => self.open().next().map(|band| band.priority),
            BandSelectionPolicy::Weighted(floors) => self.select_by_floor(floors),
        }
    }

    fn select_by_floor(&mut self, floors: &Floors) -> Option<Priority> {
        let all: u64 = self.open().map(|band| floors.for_band(band.priority)).sum();
        let mut first = None;
        let mut owed: Option<(u64, Priority)> = None;
        for band in self.open() {
            band.owed += floors.for_band(band.priority) * u64::from(Share::WHOLE)
                / all.max(Share::WHOLE.into());
            first = first.or(Some(band.priority));
            if band.owed >= Share::WHOLE.into() && owed.is_none_or(|(most, _)| band.owed > most) {
                owed = Some((band.owed, band.priority));
            }
        }
        // A debt is paid with the dispatch, also to a band that would have been first anyway.
        let chosen = owed.map(|(_, band)| band).or(first)?;
        if let Some(band) = self.get_mut(chosen) {
            band.owed = band.owed.saturating_sub(Share::WHOLE.into());
        }
        Some(chosen)
    }

    /// Returns the bands below one, lowest first.
    pub(super) fn below(&self, priority: Priority) -> impl Iterator<Item = &Band> {
        let bands = self.bands.values().rev().map(|entry| &entry.band);
        bands.take_while(move |band| band.priority < priority)
    }

    pub(super) fn collect(&mut self, now: Instant) {
        self.bands.retain(|_, entry| {
            entry.band.collect(now);
            let Origin::Unwanted(since) = entry.origin else { return true };
            let idle = entry.band.idle_since.max(since) + BAND_IDLE_MAX <= now;
            entry.band.usage.requests > 0 || !idle
        });
    }

    pub(super) fn sizes(&self) -> impl Iterator<Item = BandSize> {
        self.bands.values().map(|BandEntry { band, .. }| BandSize {
            priority: band.priority,
            usage: band.usage,
            limits: band.config.limits,
        })
    }

    /// Takes what flows were charged for requests of this gateway since the last time.
    pub(super) fn take_charges(&mut self) -> Vec<(FlowKey, i64)> {
        self.bands.values_mut().flat_map(|entry| entry.band.take_charges()).collect()
    }

    /// Returns at most `rows` flows by name, and one row per band for the rest of it.
    pub(super) fn flow_sizes(&self, rows: usize) -> Vec<FlowSize> {
        let mut sizes = Vec::new();
        let mut left = rows;
        for BandEntry { band, .. } in self.bands.values() {
            let mut rest: Option<FlowSize> = None;
            for (id, usage, oldest) in band.sizes() {
                let priority = band.priority;
                if left > 0 {
                    left -= 1;
                    let flow = FlowKey { id: id.clone(), priority };
                    sizes.push(FlowSize { flow, usage, oldest });
                } else if let Some(rest) = &mut rest {
                    rest.usage.add(usage);
                    rest.oldest = rest.oldest.min(oldest);
                } else {
                    let flow = FlowKey { id: FairnessId::other(), priority };
                    rest = Some(FlowSize { flow, usage, oldest });
                }
            }
            sizes.extend(rest);
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Instant {
        Instant::from_nanos(minutes * 60_000_000_000)
    }

    fn priorities(bands: &Bands) -> Vec<i32> {
        bands.sizes().map(|band| band.priority.0).collect()
    }

    #[test]
    fn a_band_goes_ten_minutes_after_its_objective() {
        let config = FlowConfig {
            bands: [(Priority(5), BandConfig::default())].into(),
            ..FlowConfig::default()
        };
        let mut bands = Bands::new(&config, at(0));
        assert_eq!(bands.provision(at(0), &config, &[Priority(9), Priority(7)]), 0);
        assert_eq!(priorities(&bands), [9, 7, 5, 0]);
        assert_eq!(bands.provision(at(30), &config, &[Priority(9)]), 0);
        bands.collect(at(39));
        assert_eq!(priorities(&bands), [9, 7, 5, 0]);
        bands.collect(at(40));
        assert_eq!(priorities(&bands), [9, 5, 0]);
    }

    #[test]
    fn templates_differ_below_zero_and_configured_bands_keep_theirs() {
        let limited = |max| BandConfig {
            limits: Limits { max_requests: Some(max), max_bytes: None },
            ..BandConfig::default()
        };
        let config = FlowConfig {
            bands: [(Priority(0), limited(1))].into(),
            default_band: limited(2),
            default_negative_band: Some(limited(3)),
            ..FlowConfig::default()
        };
        let mut bands = Bands::new(&config, at(0));
        assert_eq!(bands.provision(at(0), &config, &[Priority(0), Priority(1), Priority(-1)]), 0);
        let limits: Vec<_> = bands.sizes().map(|band| band.limits.max_requests).collect();
        assert_eq!(limits, [Some(2), Some(1), Some(3)]);
    }

    #[test]
    fn bands_have_a_limit() {
        let config = FlowConfig::default();
        let mut bands = Bands::new(&config, at(0));
        let wanted: Vec<Priority> = (1..=100).map(Priority).collect();
        assert_eq!(bands.provision(at(0), &config, &wanted), 37);
        assert_eq!(bands.sizes().count(), BANDS_MAX);
        assert_eq!(bands.resolve(Priority(63)), Priority(63));
        assert_eq!(bands.resolve(Priority(64)), Priority(0));
    }
}
