//! The reader of one server's page, again and again.
//!
//! A page of 51 KB has 614 lines, of which some five matter. The scanner remembers their places on
//! the last page: a page with its families still there, give or take some digits, is read at those
//! places only. Once in a while, and whenever a family is not where it was, the whole page is read.

use std::sync::Arc;

use super::{
    Engine, Reading, Series, Unfit,
    plan::{Plan, WantedFamily},
    reading::Gathered,
};

/// Bytes by which a family may move from one page to the next. Numbers in front of it gain a digit
/// now and then; a new series in front of it is longer than this, and then the whole page is read.
const SHIFT_MAX: usize = 64;

/// Pages in a row that may be read at the remembered places only. A family that appears for the
/// first time, as that of LoRA adapters does, is so seen within a second at the usual interval.
const SHORT_MAX: u32 = 19;

/// Reader of the pages of one server.
#[derive(Clone, Debug)]
pub struct Scanner {
    engine: Arc<Engine>,
    plan: Arc<Plan>,
    /// Index of the first series of each family; nothing for those that the page lacks.
    places: Vec<Option<usize>>,
    /// True if the places may be used: no family came in two parts.
    sound: bool,
    short: u32,
    /// Values of the families that rarely change, by the last whole page.
    steady: Gathered,
}

impl Scanner {
    /// Returns a scanner of pages of this engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        let plan = Arc::new(Plan::new(&engine));
        let places = vec![None; plan.families.len()];
        Self { engine, plan, places, sound: false, short: 0, steady: Gathered::default() }
    }

    /// Reads a page in Prometheus' text format.
    ///
    /// Waiting and running requests are summed over the series of one family, which data parallel
    /// engines have; of KV-cache usage the highest counts. A line that is not understood is
    /// skipped, as is a last line without its line break, which may be cut off.
    ///
    /// # Errors
    /// Without the number of waiting or of running requests or the KV-cache usage: an engine with
    /// an unknown one must not pass for an idle one. And while the engine sleeps.
    pub fn scan(&mut self, page: &[u8]) -> Result<Reading, Unfit> {
        if self.sound && self.short < SHORT_MAX {
            self.short += 1;
            // An unfit page has no places for what it lacks: whether the next one is still unfit is
            // only seen by reading all of it.
            let reading = self.at_places(page).map(|gathered| gathered.finish(&self.engine));
            if let Some(Ok(reading)) = reading {
                return Ok(reading);
            }
        }
        self.whole(page).finish(&self.engine)
    }

    fn whole(&mut self, page: &[u8]) -> Gathered {
        let plan = Arc::clone(&self.plan);
        self.sound = true;
        self.short = 0;
        self.steady = Gathered::default();
        self.places.fill(None);
        let mut gathered = Gathered::default();
        let mut last = None;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', page) {
            let line = page.get(start..end).unwrap_or_default();
            let began = std::mem::replace(&mut start, end + 1);
            let Some((index, rest)) = plan.family_of(line) else { continue };
            let Some(family) = plan.families.get(index) else { continue };
            if last != Some(index) {
                self.begin(index, began);
                last = Some(index);
            }
            let into = if family.steady { &mut self.steady } else { &mut gathered };
            take(into, &plan, family, rest);
        }
        gathered.with(&self.steady)
    }

    /// Remembers the place where a family begins.
    fn begin(&mut self, index: usize, at: usize) {
        if let Some(place) = self.places.get_mut(index) {
            self.sound &= place.is_none();
            *place = Some(at);
        }
    }

    /// Reads the page at the places of the last one; nothing if a family is not there.
    fn at_places(&mut self, page: &[u8]) -> Option<Gathered> {
        let plan = Arc::clone(&self.plan);
        let mut gathered = Gathered::default();
        for (family, place) in plan.families.iter().zip(&mut self.places) {
            let Some(at) = place.filter(|_| !family.steady) else { continue };
            let at = find(page, family, at)?;
            *place = Some(at);
            let mut rest = page.get(at..)?;
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let (line, after) = rest.split_at_checked(end)?;
                let Some(series) = family.rest(line) else { break };
                take(&mut gathered, &plan, family, series);
                rest = after.get(1..)?;
            }
        }
        Some(gathered.with(&self.steady))
    }
}

/// Finds the family near its last place.
fn find(page: &[u8], family: &WantedFamily, at: usize) -> Option<usize> {
    let begins = |at: usize| {
        let line = page.get(at..)?;
        family.rest(line)?;
        let before = page.get(..at)?.strip_suffix(b"\n")?;
        let last = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        // The line before it is another family's, or a part of this one would be left out.
        family.rest(before.get(last..)?).is_none().then_some(at)
    };
    if at > 0 && page.get(at - 1) == Some(&b'\n') && begins(at).is_some() {
        return Some(at);
    }
    let from = at.saturating_sub(SHIFT_MAX);
    let until = at.saturating_add(SHIFT_MAX).min(page.len());
    let mut starts = memchr::memchr_iter(b'\n', page.get(from..until)?).map(|end| from + end + 1);
    starts.find_map(begins)
}

fn take(gathered: &mut Gathered, plan: &Plan, family: &WantedFamily, rest: &[u8]) {
    let Some(series) = Series::parse(rest) else { return };
    let other_rank =
        |rank: &Vec<u8>| series.label(rank).is_some_and(|value| value.as_ref() != b"0");
    if plan.ranks.iter().any(other_rank) {
        return;
    }
    for wanted in &family.uses {
        let has = |(label, value): &(Vec<u8>, Vec<u8>)| {
            series.label(label).is_some_and(|found| found.as_ref() == value.as_slice())
        };
        if wanted.label.as_ref().is_none_or(has) {
            gathered.take(&wanted.meaning, &series);
        }
    }
}
