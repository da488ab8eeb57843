//! The exchange between gateways: takes in the report that comes with each reply, and makes the part
//! that goes down to each gateway with the next push.
//!
//! What is exchanged is decided by [`ExchangeHub`], a pure function of the reports. Here it gets clock,
//! bytes, signatures and counts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use picker_core::{
    Snapshot,
    exchange::{ExchangeHub, GatewayId, GatewayStatus, INTERVAL_MAX, ReportRefusal},
};
use tracing::warn;
use wire::{exchange, push::Stamp};

use crate::settings::Secret;

/// Time without a reply after which a gateway is no company any more: ten replies missed.
const COMPANY_MAX: Duration = Duration::from_secs(5);

/// Time after a report with requests or events for which a pool is not idle: until the others have the
/// events, and for as long as requests too short for the pods' metrics follow each other.
const BUSY_FOR: Duration = Duration::from_millis(250);

/// Time without a further part of another scraper's exchange at any gateway after which that scraper is gone: three
/// looks, and ten of the pushes that an idle pool gets. With a look it is less than the time for which gateways
/// remember an exchange that is gone, so that no limit is passed between the two.
const GONE_AFTER: Duration = Duration::from_millis(2_500);

/// Time between the beginnings of two looks at another scraper's exchange, and the length of one: long enough for a
/// push to every gateway, of which an idle pool gets one in 250 ms.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
const LOOKS_FOR: Duration = Duration::from_millis(300);

/// Gateways of one pool with replies that are remembered: twice as many as an exchange has, as each start of one is
/// another.
const GATEWAYS_MAX: usize = 2 * picker_core::exchange::GATEWAYS_MAX;

/// Time on the clock of the exchange when the scraper starts: what gateways tell may be older than the scraper.
const CLOCK_START: Duration = Duration::from_secs(86_400);

/// The exchanges of all pools.
#[derive(Debug)]
pub(crate) struct Exchanges {
    /// Start of the clock of the exchange.
    began: Instant,
    /// Epochs of this scraper's exchanges.
    epochs: Epochs,
    /// Time between two pushes.
    interval: Duration,
    /// Number of gateways that are pushed to.
    reached: AtomicUsize,
    pools: Mutex<BTreeMap<Arc<str>, PoolExchange>>,
}

/// The epochs of one scraper. Their lower bits are its own: scrapers that start in one millisecond, or take an exchange
/// over at one time, have different ones, and gateways and scrapers go by one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    first: u64,
    own: u64,
}

/// The exchange of one pool.
#[derive(Debug)]
struct PoolExchange {
    hub: ExchangeHub,
    epochs: Epochs,
    /// The exchange of another scraper, which gateways go by.
    other: Option<OtherExchange>,
    /// Time of the last report with requests or events.
    busy_at: Option<Instant>,
    /// Gateways that replied lately, with or without a report for the exchange.
    company: BTreeMap<GatewayId, Company>,
}

/// Another scraper's exchange, as gateways tell of it.
#[derive(Clone, Copy, Debug)]
struct OtherExchange {
    epoch: u64,
    /// Time at which a gateway was last heard to have a further part of it.
    heard_at: Instant,
}

/// A gateway that replies.
#[derive(Clone, Copy, Debug)]
struct Company {
    /// Time of its last reply.
    at: Instant,
    /// Number of its reports that were refused.
    refused: u64,
    /// Epoch and number of the last part that it had of any exchange.
    taken: (u64, u64),
}

/// The exchange with one gateway, as metrics and the status page show it.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeRow {
    pub(crate) pool: Arc<str>,
    pub(crate) status: GatewayStatus,
    /// Number of its reports that were refused.
    pub(crate) refused: u64,
}

/// A signed part, ready to go behind a snapshot.
#[derive(Debug)]
pub(crate) struct SealedPart {
    pub(crate) body: Vec<u8>,
    pub(crate) signature: String,
}

impl Epochs {
    /// Bits that are a scraper's own: a million scrapers, of which two have the same by chance at most.
    const OWN_BITS: u32 = 20;

    /// Makes the epochs of a scraper that starts at this time, in Unix milliseconds, with a number drawn by chance.
    pub(crate) const fn new(unix_ms: u64, chance: u64) -> Self {
        let own = chance & ((1 << Self::OWN_BITS) - 1);
        Self { first: Self::numbered(unix_ms, own), own }
    }

    /// Returns the epoch that follows all up to this one.
    const fn after(self, epoch: u64) -> u64 {
        Self::numbered((epoch >> Self::OWN_BITS) + 1, self.own)
    }

    const fn numbered(number: u64, own: u64) -> u64 {
        let max = u64::MAX >> Self::OWN_BITS;
        let number = if number < max { number } else { max };
        number << Self::OWN_BITS | own
    }
}

impl Exchanges {
    /// Makes the exchanges of a scraper that pushes at this interval. Of two scrapers, gateways go by the one of
    /// the higher epoch.
    pub(crate) fn new(began: Instant, epochs: Epochs, interval: Duration) -> Self {
        if interval > INTERVAL_MAX {
            warn!(
                "gateways do not exchange what they know: found an interval of {interval:?}; allowed for \
                 that: at most {INTERVAL_MAX:?}. Each picks by itself"
            );
        }
        Self { began, epochs, interval, reached: AtomicUsize::new(0), pools: Mutex::default() }
    }

    /// Takes the number of gateways that are pushed to.
    pub(crate) fn reach(&self, gateways: usize) {
        self.reached.store(gateways, Ordering::Relaxed);
    }

    /// True if gateways of the pool are to be asked for reports: of one alone there is nothing to exchange. While
    /// another scraper runs the exchange they are asked now and then, to know that it still does.
    pub(crate) fn is_wanted(&self, pool: &str, now: Instant) -> bool {
        let pools = self.lock();
        let pool = pools.get(pool);
        let looks = pool.is_none_or(|pool| pool.other.is_none()) || self.looks(now);
        self.is_possible() && looks && self.company(pool, now) > 1
    }

    fn looks(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.began).as_millis();
        passed % LOOKS_EVERY.as_millis() < LOOKS_FOR.as_millis()
    }

    /// Counts the gateways of a pool. One that is pushed to counts before it has replied: it may have credit
    /// of an earlier exchange.
    fn company(&self, pool: Option<&PoolExchange>, now: Instant) -> usize {
        let present = pool.map_or(0, |pool| pool.present(now).count());
        present.max(self.reached.load(Ordering::Relaxed))
    }

    /// True if pushes come often enough for an exchange.
    pub(crate) fn is_possible(&self) -> bool {
        self.interval <= INTERVAL_MAX
    }

    /// Records that a gateway replied. The reply was verified.
    pub(crate) fn hear(&self, pool: &Arc<str>, gateway: GatewayId, now: Instant) {
        let mut pools = self.lock();
        let pool = pools.entry(Arc::clone(pool)).or_insert_with(|| PoolExchange::new(self.epochs));
        pool.company.retain(|_, it| it.is_present(now));
        if pool.company.len() < GATEWAYS_MAX || pool.company.contains_key(&gateway) {
            let new = Company { at: now, refused: 0, taken: (0, 0) };
            pool.company.entry(gateway).or_insert(new).at = now;
        }
        let company = self.company(Some(&*pool), now);
        pool.hub.expect(company);
    }

    /// Takes in a gateway's report. The reply that brought it was verified. Returns true if it was taken; of a
    /// gateway that is refused the log tells once.
    pub(crate) fn take(
        &self,
        pool: &Arc<str>,
        gateway: GatewayId,
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        let Err(why) = self.report(pool, gateway, bytes, now) else { return true };
        let mut pools = self.lock();
        let company = pools.get_mut(&**pool).and_then(|pool| pool.company.get_mut(&gateway));
        if let Some(company) = company {
            company.refused += 1;
            if company.refused == 1 {
                warn!(
                    "failed to take what gateway {:016x} of pool {pool} tells others: {why}",
                    gateway.0
                );
            }
        }
        false
    }

    fn report(
        &self,
        pool: &Arc<str>,
        gateway: GatewayId,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        let at = self.clock(now);
        let report = exchange::decode_report(gateway, bytes, at);
        let mut pools = self.lock();
        let Some(pool) = pools.get_mut(&**pool) else { return Ok(()) };
        match report {
            Ok(report) => {
                let acts = report.endpoints.iter().any(|it| it.requests > 0);
                if acts || !report.events.events.is_empty() {
                    pool.busy_at = Some(now);
                }
                let last = (report.epoch, report.taken);
                let taken = pool.hub.report(at, report);
                pool.look_for_other(gateway, last, now);
                pool.hub.expect(self.company(Some(&*pool), now));
                taken.map_err(|why| refusal(why).to_owned())
            }
            Err(why) => Err(why.to_string()),
        }
    }

    /// Takes in what the pods of a pool show of all requests, whoever sent them.
    pub(crate) fn pages(&self, snapshot: &Snapshot, now: Instant) {
        let metrics = snapshot.endpoints.iter().filter_map(|it| it.metrics.as_ref());
        let shown = metrics.map(|it| u64::from(it.waiting) + u64::from(it.running)).sum();
        if let Some(pool) = self.lock().get_mut(&*snapshot.pool) {
            pool.hub.pages(self.clock(now), shown);
        }
    }

    /// Returns the time after each round at which a gateway is told of it. Those of an exchange take turns over one
    /// interval, so that each is told what those before it have said since the round.
    pub(crate) fn turn(&self, gateway: GatewayId, now: Instant) -> Duration {
        let pools = self.lock();
        let mut own = pools.values().filter(|pool| pool.other.is_none());
        let known = own.find_map(|pool| pool.place(gateway, now)).filter(|_| self.is_possible());
        known.map_or(Duration::ZERO, |(place, count)| self.interval * place / count.max(1))
    }

    /// True if another scraper runs the exchanges of all pools that have any.
    pub(crate) fn are_elsewhere(&self) -> bool {
        let pools = self.lock();
        !pools.is_empty() && pools.values().all(|pool| pool.other.is_some())
    }

    /// Returns the exchange with every gateway of every pool, but for those that another scraper runs.
    pub(crate) fn rows(&self, now: Instant) -> Vec<ExchangeRow> {
        let at = self.clock(now);
        let pools = self.lock();
        let own = pools.iter().filter(|(_, pool)| pool.other.is_none());
        let rows = own.flat_map(|(name, pool)| {
            pool.hub.statuses(at).map(|status| {
                let refused = pool.company.get(&status.gateway).map_or(0, |it| it.refused);
                ExchangeRow { pool: Arc::clone(name), status, refused }
            })
        });
        rows.collect()
    }

    /// Returns the part for a gateway, signed for it beside a snapshot of this stamp. `None` while another scraper
    /// runs the exchange: a part would have no credit, for which a gateway that starts would wait.
    pub(crate) fn part(
        &self,
        pool: &str,
        gateway: GatewayId,
        stamp: Stamp,
        secret: &Secret,
    ) -> Option<SealedPart> {
        let now = Instant::now();
        let at = self.clock(now);
        let mut pools = self.lock();
        let pool = pools.get_mut(pool).filter(|pool| pool.other.is_none())?;
        let part = pool.hub.part(at, gateway);
        drop(pools);
        let body = exchange::encode_part(&part, at).ok()?;
        let signed = exchange::SignedPart { stamp, gateway: gateway.0, body: &body };
        let signature = signed.sign(secret.key());
        Some(SealedPart { body, signature })
    }

    /// True while gateways have something to tell each other, so that pushes are not to be put off.
    pub(crate) fn is_busy(&self, pool: &str, now: Instant) -> bool {
        let busy_at = self.lock().get(pool).and_then(|pool| pool.busy_at);
        busy_at.is_some_and(|at| now.saturating_duration_since(at) <= BUSY_FOR)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, PoolExchange>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time by the clock of the exchange.
    fn clock(&self, now: Instant) -> picker_core::Instant {
        let passed = CLOCK_START + now.saturating_duration_since(self.began);
        picker_core::Instant::from_nanos(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl PoolExchange {
    fn new(epochs: Epochs) -> Self {
        let (hub, company) = (ExchangeHub::new(epochs.first), BTreeMap::new());
        Self { hub, epochs, other: None, busy_at: None, company }
    }

    /// Leaves the exchange to another scraper while gateways get further parts of it, and takes it over, in a higher
    /// epoch, once they get none. A gateway has told of the last part that it had.
    fn look_for_other(&mut self, gateway: GatewayId, last: (u64, u64), now: Instant) {
        let told = self.company.get_mut(&gateway);
        let is_new = told.is_none_or(|it| std::mem::replace(&mut it.taken, last) != last);
        if self.hub.is_deposed() {
            let epoch = self.hub.heard_epoch();
            let other = self.other.get_or_insert(OtherExchange { epoch, heard_at: now });
            if is_new || epoch > other.epoch {
                *other = OtherExchange { epoch, heard_at: now };
            }
            // What this one knows is the other's to say, and old by the time that the other is gone.
            self.hub = ExchangeHub::new(self.hub.epoch());
        }
        let is_gone = |at| now.saturating_duration_since(at) > GONE_AFTER;
        if let Some(other) = self.other.filter(|other| is_gone(other.heard_at)) {
            self.hub = ExchangeHub::new(self.epochs.after(other.epoch.max(self.hub.epoch())));
            self.other = None;
        }
    }

    /// Returns the place of a gateway among those that replied lately, in the order of their ids, and their number.
    fn place(&self, gateway: GatewayId, now: Instant) -> Option<(u32, u32)> {
        self.company.get(&gateway).filter(|it| it.is_present(now))?;
        let before = self.company.range(..gateway).filter(|(_, it)| it.is_present(now)).count();
        let count = self.present(now).count();
        Some((u32::try_from(before).ok()?, u32::try_from(count).ok()?))
    }

    fn present(&self, now: Instant) -> impl Iterator<Item = &Company> {
        self.company.values().filter(move |it| it.is_present(now))
    }
}

impl Company {
    fn is_present(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) <= COMPANY_MAX
    }
}

const fn refusal(why: ReportRefusal) -> &'static str {
    match why {
        ReportRefusal::Unnamed => "it has no id",
        ReportRefusal::Older => "a later one has come already",
        ReportRefusal::TooMany => "found more gateways than an exchange has; allowed: 64",
    }
}

#[cfg(test)]
mod tests {
    use picker_core::{
        Chain, EventKind, PlacementEvent,
        exchange::{EventBatch, GatewayReport},
    };
    use wire::push::Secrets;

    use super::*;

    const ONE: GatewayId = GatewayId(1);
    const TWO: GatewayId = GatewayId(2);

    /// Epochs that begin with 5.
    const FIVE: Epochs = Epochs { first: 5, own: 5 };

    fn of_epochs(now: Instant, epochs: Epochs, interval_ms: u64) -> Exchanges {
        Exchanges::new(now, epochs, Duration::from_millis(interval_ms))
    }

    fn exchanges(interval_ms: u64) -> (Exchanges, Instant, Arc<str>) {
        let now = Instant::now();
        (of_epochs(now, FIVE, interval_ms), now, Arc::from("default"))
    }

    fn report(gateway: GatewayId, number: u64, events: usize) -> Vec<u8> {
        let at = picker_core::Instant::from_nanos(number);
        let (endpoint, chain) = (([10, 0, 0, 1], 8000).into(), Chain::default());
        let event = PlacementEvent { at, endpoint, chain, verdict: EventKind::Placed };
        let events = EventBatch { first: 0, events: vec![event; events] };
        let report = GatewayReport { gateway, number, events, ..GatewayReport::default() };
        exchange::encode_report(&report, at).unwrap()
    }

    #[test]
    fn there_is_an_exchange_while_two_gateways_reply() {
        let (exchanges, now, pool) = exchanges(50);
        exchanges.hear(&pool, ONE, now);
        exchanges.hear(&pool, ONE, now);
        assert!(!exchanges.is_wanted(&pool, now), "one alone");
        exchanges.hear(&pool, TWO, now);
        assert!(exchanges.is_wanted(&pool, now) && !exchanges.is_wanted("other", now));
        let later = now + COMPANY_MAX + Duration::from_millis(1);
        exchanges.hear(&pool, TWO, later);
        assert!(!exchanges.is_wanted(&pool, later), "the first is gone");
        exchanges.reach(2);
        assert!(exchanges.is_wanted(&pool, later), "two are pushed to, answered or not");
    }

    #[test]
    fn at_a_long_interval_there_is_none() {
        let (exchanges, now, pool) = exchanges(251);
        [ONE, TWO].iter().for_each(|gateway| exchanges.hear(&pool, *gateway, now));
        assert!(!exchanges.is_wanted(&pool, now) && !exchanges.is_possible());
    }

    #[test]
    fn what_one_reports_is_in_the_sealed_part_of_the_other() {
        let (exchanges, now, pool) = exchanges(50);
        [ONE, TWO].iter().for_each(|gateway| exchanges.hear(&pool, *gateway, now));
        assert!(!exchanges.is_busy(&pool, now));
        assert_eq!(exchanges.report(&pool, TWO, &report(TWO, 1, 0), now), Ok(()));
        assert!(!exchanges.is_busy(&pool, now), "nothing has happened");
        assert_eq!(exchanges.report(&pool, ONE, &report(ONE, 1, 2), now), Ok(()));
        assert!(exchanges.is_busy(&pool, now) && !exchanges.is_busy(&pool, now + 2 * BUSY_FOR));
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        let stamp = Stamp { time_ms: 1, sequence: 2 };
        let SealedPart { body, signature } = exchanges.part(&pool, TWO, stamp, &secret).unwrap();
        let length = body.len().to_string();
        let seal = exchange::Seal::parse(Some(length.as_bytes()), Some(signature.as_bytes()));
        let seal = seal.unwrap().unwrap();
        let secrets = Secrets::new([secret.key().clone()]);
        let signed = |gateway| exchange::SignedPart { stamp, gateway, body: &body };
        assert!(seal.holds(&secrets, 0, signed(2)) && !seal.holds(&secrets, 0, signed(1)));
        let part = exchange::decode_part(&body, picker_core::Instant::from_nanos(1)).unwrap();
        assert_eq!((part.gateway, part.epoch, part.events.events.len()), (TWO, 5, 2));
    }

    #[test]
    fn gateways_take_turns_over_an_interval() {
        let (exchanges, now, pool) = exchanges(60);
        let turns = |at| [ONE, TWO, GatewayId(3)].map(|id| exchanges.turn(id, at).as_millis());
        assert_eq!(turns(now), [0, 0, 0], "none has replied");
        exchanges.hear(&pool, TWO, now);
        assert_eq!(turns(now), [0, 0, 0], "one alone");
        exchanges.hear(&pool, ONE, now);
        exchanges.hear(&pool, GatewayId(3), now);
        assert_eq!(turns(now), [0, 20, 40]);
        let later = now + COMPANY_MAX + Duration::from_millis(1);
        exchanges.hear(&pool, ONE, later);
        exchanges.hear(&pool, GatewayId(3), later);
        assert_eq!(turns(later), [0, 0, 30], "the second is gone");
    }

    #[test]
    fn another_scrapers_exchange_is_left_to_it_while_it_lives() {
        let (exchanges, began, pool) = exchanges(50);
        let at = |millis| began + Duration::from_millis(millis);
        let hear = |now| [ONE, TWO].iter().for_each(|it| exchanges.hear(&pool, *it, now));
        let of_other = |number, epoch, taken| {
            let report = GatewayReport { number, epoch, taken, ..GatewayReport::default() };
            exchange::encode_report(&report, picker_core::Instant::from_nanos(1)).unwrap()
        };
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        let stamp = Stamp { time_ms: 1, sequence: 2 };
        let part = || exchanges.part(&pool, ONE, stamp, &secret);
        hear(began);
        assert!(part().is_some());
        assert!(exchanges.take(&pool, ONE, &of_other(1, 9, 1), began));
        assert!(part().is_none(), "the other has a higher epoch");
        assert!(exchanges.is_wanted(&pool, at(299)) && !exchanges.is_wanted(&pool, at(300)));
        for second in 1..=20 {
            hear(at(second * 1_000));
            assert!(exchanges.is_wanted(&pool, at(second * 1_000)), "a look");
            let taken = of_other(second + 1, 9, second + 1);
            assert!(exchanges.take(&pool, ONE, &taken, at(second * 1_000)));
            // One that the other no longer reaches tells of the same part for ever.
            assert!(exchanges.take(&pool, TWO, &of_other(second, 8, 1), at(second * 1_000)));
            assert!(part().is_none(), "the other lives");
        }
        for (millis, is_given) in [(21_000, false), (22_000, false), (22_501, true)] {
            hear(at(millis));
            assert!(exchanges.take(&pool, ONE, &of_other(millis, 9, 21), at(millis)));
            assert_eq!(part().is_some(), is_given, "{millis} ms");
        }
        let taken_over = part().unwrap();
        let read = exchange::decode_part(&taken_over.body, picker_core::Instant::from_nanos(1));
        assert_eq!(read.unwrap().epoch, FIVE.after(9));
        assert!(exchanges.take(&pool, ONE, &of_other(30_000, 9, 21), at(22_600)), "not read yet");
        assert!(part().is_some() && exchanges.is_wanted(&pool, at(22_600)));
    }

    /// Two scrapers that follow a third take over from it at one time: one of them yields.
    #[test]
    fn of_two_that_take_an_exchange_over_one_goes_on() {
        let (pool, began): (Arc<str>, _) = (Arc::from("default"), Instant::now());
        let scrapers = [1, 2].map(|chance| of_epochs(began, Epochs::new(7, chance), 50));
        let dead = Epochs::new(9, 3).first;
        let tell = |scraper: &Exchanges, number, epoch, now| {
            let report = GatewayReport { number, epoch, taken: number, ..GatewayReport::default() };
            let at = picker_core::Instant::from_nanos(1);
            scraper.hear(&pool, ONE, now);
            assert!(scraper.take(&pool, ONE, &exchange::encode_report(&report, at).unwrap(), now));
        };
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        let epoch = |scraper: &Exchanges| {
            let part = scraper.part(&pool, ONE, Stamp { time_ms: 1, sequence: 2 }, &secret)?;
            let read = exchange::decode_part(&part.body, picker_core::Instant::from_nanos(1));
            Some(read.unwrap().epoch)
        };
        let later = began + GONE_AFTER + Duration::from_millis(1);
        for scraper in &scrapers {
            tell(scraper, 1, dead, began);
            assert_eq!(epoch(scraper), None);
            scraper.hear(&pool, ONE, later);
            let same =
                GatewayReport { number: 2, epoch: dead, taken: 1, ..GatewayReport::default() };
            let same = exchange::encode_report(&same, picker_core::Instant::from_nanos(1)).unwrap();
            assert!(scraper.take(&pool, ONE, &same, later));
        }
        let epochs = scrapers.each_ref().map(|it| epoch(it).unwrap());
        assert!(epochs[0] > dead && epochs[0] < epochs[1], "{epochs:?}");
        // The gateway goes by the higher one, and tells both.
        scrapers.iter().for_each(|it| tell(it, 3, epochs[1], later));
        assert_eq!(scrapers.each_ref().map(epoch), [None, Some(epochs[1])]);
    }

    #[test]
    fn epochs_grow_with_time_whatever_the_chance() {
        assert!(Epochs::new(8, 0).first > Epochs::new(7, u64::MAX).first);
        assert_ne!(Epochs::new(8, 1).first, Epochs::new(8, 2).first);
        assert!(Epochs::new(1, 0).after(Epochs::new(7, 9).first) > Epochs::new(7, u64::MAX).first);
        assert_eq!(Epochs::new(1, 3).after(u64::MAX) & 0xf_ffff, 3);
    }

    #[test]
    fn gateways_that_never_heard_of_a_scraper_that_is_gone_do_not_wait_for_it() {
        let (exchanges, began, pool) = exchanges(50);
        let other = GatewayReport { number: 1, epoch: 9, taken: 1, ..GatewayReport::default() };
        let other = exchange::encode_report(&other, picker_core::Instant::from_nanos(1)).unwrap();
        exchanges.hear(&pool, ONE, began);
        assert!(exchanges.take(&pool, ONE, &other, began));
        let later = began + GONE_AFTER + Duration::from_millis(1);
        exchanges.hear(&pool, TWO, later);
        assert!(exchanges.take(&pool, TWO, &report(TWO, 1, 0), later));
        let secret = Secret::new(b"0123456789abcdef").unwrap();
        assert!(exchanges.part(&pool, TWO, Stamp { time_ms: 1, sequence: 2 }, &secret).is_some());
    }

    #[test]
    fn a_report_that_cannot_be_taken_is_counted_and_told_of() {
        let (exchanges, now, pool) = exchanges(50);
        exchanges.hear(&pool, ONE, now);
        assert_eq!(exchanges.report(&pool, ONE, &report(ONE, 3, 0), now), Ok(()));
        let said = |bytes: &[u8]| exchanges.report(&pool, ONE, bytes, now).unwrap_err();
        insta::assert_snapshot!([said(&report(ONE, 3, 0)), said(b"LPX\x02")].join("\n"), @r"
        a later one has come already
        found version 2; allowed: 1
        ");
        assert!(!exchanges.take(&pool, ONE, b"LPX\x02", now));
        assert!(exchanges.take(&pool, ONE, &report(ONE, 4, 0), now));
        let rows = exchanges.rows(now);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].refused, rows[0].status.gateway), (1, ONE));
    }
}
