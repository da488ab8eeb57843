//! The latencies that an operator asks for, which a limit that is learnt does not exceed.

use std::time::Duration;

/// Share of a time to the first token that others' prompts may take: the rest is for its own prompt and step.
const TTFT_SHARE: f64 = 0.5;

/// The latencies that an operator asks for, for the highest band in use. Both cost throughput.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyGoals {
    /// Time to the first token: half of it is what the prompts of low bands may take on an endpoint at once.
    pub ttft: Option<Duration>,
    /// Time between two tokens: no endpoint gets more requests than take so long a step.
    pub itl: Option<Duration>,
}

impl LatencyGoals {
    /// Returns the stricter of two.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        let least = |one: Option<Duration>, other| one.into_iter().chain(other).min();
        Self { ttft: least(self.ttft, other.ttft), itl: least(self.itl, other.itl) }
    }

    /// Returns the seconds of prompts that low bands may have computed at once, of those that throughput asks for.
    #[must_use]
    pub fn allowance(self, asked: f64) -> f64 {
        self.ttft.map_or(asked, |ttft| asked.min(TTFT_SHARE * ttft.as_secs_f64()))
    }

    /// Returns the requests that an endpoint may have, where steps took `step` seconds with `company` requests, both
    /// means over the same streams; at least 1. `None` where nothing limits them, or nothing is known yet.
    ///
    /// A step is a fixed part and one for each request, so that `company * itl / step` lies between the company and the
    /// number that is looked for, and comes to it from either side.
    #[must_use]
    pub fn places(self, company: f64, step: f64) -> Option<u32> {
        let itl = self.itl.filter(|_| step > 0.0 && company > 0.0)?;
        let places = (company * itl.as_secs_f64() / step).clamp(1.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to its range just now"
        )]
        Some(places as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn prompts_of_low_bands_take_half_of_the_time_to_a_first_token() {
        let goals = LatencyGoals { ttft: Some(ms(200)), itl: None };
        assert!((goals.allowance(3.2) - 0.1).abs() < 1e-9);
        assert!((goals.allowance(0.05) - 0.05).abs() < 1e-9, "what is asked for is less");
        assert!((LatencyGoals::default().allowance(3.2) - 3.2).abs() < 1e-9);
    }

    /// An engine with steps of 12 ms and 0.12 ms a request, from far above and far below.
    #[test]
    fn requests_come_to_the_number_that_a_step_allows() {
        let goals = LatencyGoals { ttft: None, itl: Some(ms(20)) };
        let step = |company: f64| 0.012 + 0.000_12 * company;
        for from in [2.0, 30.0, 250.0] {
            let mut company: f64 = from;
            for _ in 0..40 {
                company = goals.places(company, step(company)).map_or(0.0, f64::from).min(256.0);
            }
            assert!((60.0..=67.0).contains(&company), "{from}: {company}, and 66.7 would be right");
        }
        assert_eq!(goals.places(8.0, 0.5), Some(1), "one always");
        assert_eq!(goals.places(0.0, 0.0), None);
        assert_eq!(LatencyGoals::default().places(8.0, 0.1), None);
    }

    #[test]
    fn of_several_the_strictest_counts() {
        let one = LatencyGoals { ttft: Some(ms(300)), itl: None };
        let other = LatencyGoals { ttft: Some(ms(200)), itl: Some(ms(50)) };
        assert_eq!(one.strictest(other), other);
        assert_eq!(one.strictest(LatencyGoals::default()), one);
    }
}
