//! The same load with something wrong.

use std::time::Duration;

use anyhow::Result;

use super::{Options, Scenario, conversation};
use crate::trace::HotPrefix;

/// Returns the scenarios of the same load with something wrong.
pub(in crate::study) fn faults(options: &Options, seed: u64) -> Result<Vec<Scenario>> {
    let trace = conversation(options)?.faster(2.0);
    let base = |name: &str, what: &str| Scenario::new(name, what, trace.clone());
    let hot = HotPrefix { share: 0.4, tokens: 8_192 }.over(trace.clone(), seed);
    let mut slow = base("a slow pod", "one pod at half the speed");
    if let Some(pod) = slow.setting.pods.first_mut() {
        pod.speed = 0.5;
    }
    let mut dead = base("a dead scraper", "no metrics after a third of the time");
    dead.setting.scraper_dies = Some(trace.length() / 3);
    let mut old = base("metrics 2 s old", "read every 2 s");
    old.setting.scrapes_every = Some(Duration::from_secs(2));
    Ok(vec![
        base("nothing", "for comparison"),
        Scenario::new(
            "a hot prefix",
            "8,192 tokens in front of 40 % of the prompts, from half-time on",
            hot,
        ),
        slow,
        dead,
        old,
        base("2 Envoys", "that know nothing of each other").behind(2),
        base("4 Envoys", "that know nothing of each other").behind(4),
    ])
}
