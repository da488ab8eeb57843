//! The table's row for one class at one gate.

use std::time::Duration;

use super::{class::Class, worker::Served};
use crate::summary::quantile;

/// Returns the cells for the requests of a class in `seconds`.
pub(super) fn cells(gate: &str, class: Class, all: &[&Served], seconds: u64) -> Vec<String> {
    let mut first: Vec<Duration> = all.iter().filter_map(|one| one.first_token).collect();
    let whole: Vec<Duration> =
        all.iter().filter(|one| one.first_token.is_some()).map(|one| one.whole).collect();
    let share = 100.0 * first.len() as f64 / all.len() as f64;
    let rate = first.len() as f64 / seconds as f64;
    vec![
        gate.to_owned(),
        class.name().to_owned(),
        format!("{share:.1} %"),
        all.len().to_string(),
        seconds_of(mean(&first)),
        seconds_of(quantile(&mut first, 0.95)),
        seconds_of(quantile(&mut first, 0.99)),
        seconds_of(mean(&whole)),
        format!("{rate:.1}"),
    ]
}

fn mean(times: &[Duration]) -> Duration {
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    times.iter().sum::<Duration>() / count
}

fn seconds_of(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}
