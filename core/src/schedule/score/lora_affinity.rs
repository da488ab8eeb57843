//! An endpoint that has the adapter loaded is better than one that has to load it
//! (EPP: lora-affinity-scorer).

use super::plugin::{ScorerPlugin, each};
use crate::{
    model::{Adapters, Score},
    pool::Candidate,
    schedule::{Needs, PickContext},
};

/// The scorer by loaded adapters, which has no parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoraAffinity;

impl ScorerPlugin for LoraAffinity {
    fn needs(&self) -> Needs<'_> {
        Needs::NOTHING
    }

    fn score_all(
        &self,
        context: &PickContext<'_>,
        candidates: &[Candidate<'_>],
        scores: &mut Vec<Score>,
    ) {
        each(candidates, scores, |candidate| {
            score(&context.request.model, candidate.member.adapters.as_ref())
        });
    }
}

/// Scores 1 where the adapter runs, 0.8 where there is room to load one more, 0.6 where requests
/// for it wait already, else 0. An endpoint that reports no adapters has room for none.
fn score(model: &str, adapters: Option<&Adapters>) -> Score {
    let Some(Adapters { max, running, waiting }) = adapters else { return Score::ZERO };
    let is_among = |names: &[String]| names.iter().any(|name| name == model);
    let loaded = u32::try_from(running.len() + waiting.len()).unwrap_or(u32::MAX);
    if is_among(running) {
        Score::ONE
    } else if loaded < *max {
        Score::clamped(0.8)
    } else if is_among(waiting) {
        Score::clamped(0.6)
    } else {
        Score::ZERO
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared is exact")]
mod tests {
    use super::*;

    #[test]
    fn running_then_room_then_waiting() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let score = |max, running: &[&str], waiting: &[&str]| {
            let adapters = Adapters { max, running: owned(running), waiting: owned(waiting) };
            score("a", Some(&adapters)).get()
        };
        assert_eq!(
            [
                score(1, &["a"], &[]),
                score(2, &["b"], &[]),
                score(2, &["b"], &["a"]),
                score(2, &["b", "c"], &[]),
                score(0, &[], &[]),
            ],
            [1.0, 0.8, 0.6, 0.0, 0.0]
        );
        assert_eq!(super::score("a", None), Score::ZERO);
    }
}
