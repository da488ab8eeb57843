//! The budget of a pool: what it can still take.

use super::{KeptPlaces, PromptRoom};
use crate::model::{Measure, Priority};

/// Rounding errors of summed thirds and fifths stay below this, differences that matter above.
const ROUNDING: f64 = 1e-9;

/// A saturation that rises with every dispatch it is told of, by as much as the dispatch could
/// raise it at worst. A gate that asks it can't overshoot, however old the metrics under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Measures of the detectors, one for each; the most saturated counts.
    lines: Vec<Line>,
    /// Dispatches that are left, whatever the saturation.
    places: u32,
    /// Places that low bands may not take.
    kept: KeptPlaces,
    /// Prompts that low bands may still have computed; `None` where nothing limits those.
    prompts: Option<PromptRoom>,
}

/// The measure of one detector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// The measure that the detector counts in flight; `None` for one that reads pages, or counts two.
    pub(super) measure: Option<Measure>,
    /// True if it is read off pages.
    pub(super) by_pages: bool,
    /// As measured.
    pub(super) saturation: f64,
    /// Saturation that dispatches may add before the measure moves at all, since something else
    /// determines it (a full cache hides an empty queue).
    pub(super) slack: f64,
    /// Saturation that a request adds.
    pub(super) per_request: f64,
    /// Saturation that a prompt token adds, where that is more.
    pub(super) per_token: f64,
    /// Saturation that a request adds at a second endpoint, where one computes its prompt and
    /// another answers.
    pub(super) elsewhere: f64,
    /// Saturation that dispatches have added.
    pub(super) added: f64,
}

impl Budget {
    /// Makes a budget without any room: a pool without endpoints.
    #[must_use]
    pub fn shut() -> Self {
        Self {
            lines: vec![Line { saturation: 1.0, ..Line::default() }],
            places: 0,
            kept: KeptPlaces::default(),
            prompts: None,
        }
    }

    /// Makes a budget for that many requests and no more, at saturation 0 until they are gone.
    #[must_use]
    pub fn for_requests(places: u32) -> Self {
        Self { lines: Vec::new(), places, kept: KeptPlaces::default(), prompts: None }
    }

    pub(super) fn measured(line: Line) -> Self {
        Self { lines: vec![line], ..Self::for_requests(u32::MAX) }
    }

    /// Joins budgets: there is room where all of them have room.
    pub(super) fn tightest(budgets: impl Iterator<Item = Self>) -> Self {
        budgets.fold(Self::for_requests(u32::MAX), |mut all, budget| {
            all.lines.extend(budget.lines);
            all.places = all.places.min(budget.places);
            all
        })
    }

    /// Returns the same for at most `places` more requests.
    #[must_use]
    pub fn at_most(mut self, places: u32) -> Self {
        self.places = self.places.min(places);
        self
    }

    /// Returns the same for a gateway that may have `amount` in flight by a measure and has `used`.
    ///
    /// Others can't have more than the limit leaves beside `amount`, however much they had when they were
    /// last heard of. So what is free of the credit is free of the pool as well.
    #[must_use]
    pub fn within(mut self, measure: Measure, amount: u64, used: u64) -> Self {
        let free = amount.saturating_sub(used);
        for line in self.lines.iter_mut().filter(|line| line.measure == Some(measure)) {
            let weight = line.per_request.max(line.per_token);
            line.saturation = line.saturation.min(1.0 - float(free) * weight);
        }
        match measure {
            Measure::Requests => self.at_most(u32::try_from(free).unwrap_or(u32::MAX)),
            Measure::Tokens => {
                let share = 1.0 / float(amount.max(1));
                let saturation = if amount == 0 { 1.0 } else { float(used) * share };
                let measure = Some(Measure::Tokens);
                self.lines.push(Line { measure, saturation, per_token: share, ..Line::default() });
                self
            }
        }
    }

    /// Returns the same with places kept from low bands.
    #[must_use]
    pub fn keeping(self, kept: KeptPlaces) -> Self {
        Self { kept, ..self }
    }

    /// Returns the same with this room for prompts of low bands.
    #[must_use]
    pub fn computing(self, prompts: Option<PromptRoom>) -> Self {
        Self { prompts, ..self }
    }

    /// True if a request of this priority may take one of the places.
    #[must_use]
    pub fn admits(&self, priority: Priority) -> bool {
        self.places > self.kept.from(priority)
            && self.prompts.as_ref().is_none_or(|prompts| prompts.admits(priority))
    }

    /// True if the pool's saturation is read off pages, which show an end only with the next one.
    pub(crate) fn reads_pages(&self) -> bool {
        self.lines.iter().any(|line| line.by_pages)
    }

    /// Returns the same where a request may count at two of the endpoints: one computes its prompt,
    /// and another answers.
    pub(super) fn for_two(mut self) -> Self {
        self.lines.iter_mut().for_each(|line| line.elsewhere = line.per_request);
        self
    }

    /// Accounts for a request that was granted or sent and that the loads did not include.
    pub fn take(&mut self, prompt_tokens: u32) {
        self.places = self.places.saturating_sub(1);
        if let Some(prompts) = &mut self.prompts {
            prompts.take(prompt_tokens);
        }
        for line in &mut self.lines {
            let tokens = line.per_token * f64::from(prompt_tokens);
            line.added += line.per_request.max(tokens) + line.elsewhere;
        }
    }

    /// Returns the pool's saturation with all that was taken. Not limited to 1: an overloaded pool
    /// says by how much.
    #[must_use]
    pub fn saturation(&self) -> f64 {
        self.lines.iter().map(Line::now).fold(0.0, f64::max)
    }

    /// True if a request may take more of it the more tokens it has.
    #[must_use]
    pub fn weighs_tokens(&self) -> bool {
        self.lines.iter().any(|line| line.per_token > 0.0)
    }

    /// True if another may go, as far as it isn't a matter of saturation.
    #[must_use]
    pub fn has_places(&self) -> bool {
        self.places > 0
    }

    /// Returns the number of requests that may go before the saturation reaches `ceiling`, if none
    /// has more tokens than a request's worth: one goes while the saturation is below, as in the
    /// EPP, so the last one may pass the ceiling by less than its own weight.
    #[must_use]
    pub fn places(&self, ceiling: f64) -> u32 {
        self.lines.iter().map(|line| line.places(ceiling)).fold(self.places, u32::min)
    }
}

impl Line {
    /// Returns the saturation with what was added, rounded up: a gate that is meant to be shut must
    /// not be a hair's breadth open.
    fn now(&self) -> f64 {
        self.saturation + (self.added - self.slack + ROUNDING).max(0.0)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive here, and beyond the last u32 it becomes that"
    )]
    fn places(&self, ceiling: f64) -> u32 {
        if self.now() >= ceiling {
            return 0;
        }
        let weight = self.per_request.max(self.per_token) + self.elsewhere;
        if weight <= 0.0 {
            return u32::MAX;
        }
        let free = ceiling - self.saturation + self.slack - self.added;
        (free / weight - ROUNDING).ceil() as u32
    }
}

/// Converts tokens. Above 2^53 neighbours become one, far beyond what fits on an endpoint.
#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
pub(super) fn float(tokens: u64) -> f64 {
    tokens as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::{Concurrency, ConcurrencyMode, Detector, Load, Utilization};

    /// Returns the budget of one endpoint for ten requests or a thousand tokens, with so much in flight.
    fn room(mode: ConcurrencyMode, in_flight: u32, in_flight_tokens: u64) -> Budget {
        let detector = Concurrency { max_requests: 10, max_tokens: 1_000, mode, headroom: 0.0 };
        let load = Load { in_flight, in_flight_tokens, ..Load::default() };
        Detector::Concurrency(detector).room(&[load])
    }

    #[test]
    fn a_credit_gives_its_places_whatever_others_had_when_they_were_heard() {
        let places = |known, credit, used| {
            let budget = room(ConcurrencyMode::Requests, known, 0);
            budget.within(Measure::Requests, credit, used).places(1.0)
        };
        assert_eq!(places(4, 6, 4), 2, "less than the pool has");
        assert_eq!(places(12, 6, 4), 2, "others had more than they can have now");
        assert_eq!(places(4, 4, 4), 0);
        assert_eq!(places(4, 0, 4), 0);
    }

    #[test]
    fn only_what_reads_pages_waits_for_them() {
        for mode in [ConcurrencyMode::Requests, ConcurrencyMode::Tokens, ConcurrencyMode::Hybrid] {
            assert!(!room(mode, 4, 400).reads_pages(), "{mode:?}");
        }
        let read = Detector::Utilization(Utilization::default()).room(&[Load::default()]);
        assert!(read.reads_pages());
    }

    #[test]
    fn a_credit_of_tokens_ends_with_them() {
        let budget = |credit, used| {
            room(ConcurrencyMode::Tokens, 0, 990).within(Measure::Tokens, credit, used)
        };
        let mut open = budget(500, 400);
        assert_eq!(open.places(1.0), 100, "of one token each");
        open.take(100);
        assert_eq!(open.places(1.0), 0);
        assert_eq!(budget(500, 500).places(1.0), 0);
        assert_eq!(budget(0, 0).places(1.0), 0);
    }
}
