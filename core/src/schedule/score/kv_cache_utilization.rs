//! The more of its KV cache is free, the better (EPP: kv-cache-utilization-scorer).

use crate::model::Score;

/// `1 - usage`.
pub(super) fn score(usage: f32) -> Score {
    Score::clamped(1.0 - f64::from(usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_is_left() {
        assert_eq!(score(0.0), Score::ONE);
        assert_eq!(score(0.75), Score::clamped(0.25));
        assert_eq!(score(1.25), Score::ZERO);
        assert_eq!(score(f32::NAN), Score::ZERO);
    }
}
