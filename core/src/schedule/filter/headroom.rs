//! By a saturation detector.

use crate::{
    pool::Candidate,
    saturation::{Detector, Load},
    schedule::PickContext,
};

/// Keeps the endpoints that should be sent more, or all if none should. Where limits are learnt, a request
/// of a low band goes to one of those that have room for its prompt, if any has.
pub(super) fn apply(
    detector: &Detector,
    context: &PickContext<'_>,
    candidates: &mut Vec<Candidate<'_>>,
) {
    let (learns, goals) = (detector.learns(), detector.goals());
    let limits = &context.learned.limits;
    let load = |it: &Candidate<'_>| {
        let limit = learns.then(|| limits.limit(it.slot, context.now, goals));
        Load { limit, ..it.load(context.now, context.quiet_for) }
    };
    let is_low = || limits.bands.highest().is_some_and(|top| context.request.priority < top);
    if !learns || !is_low() {
        keep_some(candidates, |it| detector.has_headroom(&load(it)));
        return;
    }
    let loads: Vec<Load> = candidates.iter().map(load).collect();
    let opens_full = detector.opens_full(&loads, &limits.bands, context.request.priority);
    keep_some(candidates, |it| detector.has_headroom(&load(it)));
    let pool = context.learned.rates.of_pool();
    let takes_prompt = |it: &Candidate<'_>| {
        let rate = context.learned.rates.of_slow(it.slot, pool).unwrap_or(pool);
        f64::from(it.uncached_tokens(context.request)) / rate <= load(it).prompt_room()
    };
    // Of two endpoints with a place, one may be where another place is tried, and the other's may be kept
    // for higher bands. A queue of prompts is worse than a kept place that is taken.
    let is_open =
        |it: &Candidate<'_>| opens_full || load(it).limit.is_some_and(|limit| !limit.is_full);
    keep_some(candidates, |it| takes_prompt(it) && is_open(it));
    keep_some(candidates, takes_prompt);
}

/// Keeps those that `keeps` is true of, or all if it is true of none.
fn keep_some(candidates: &mut Vec<Candidate<'_>>, keeps: impl Fn(&Candidate<'_>) -> bool) {
    if candidates.iter().any(&keeps) {
        candidates.retain(keeps);
    }
}
