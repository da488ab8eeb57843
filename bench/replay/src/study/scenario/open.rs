//! Open loads: requests come whenever they come.

use std::time::Duration;

use anyhow::Result;

use super::{Options, QUICK, Scenario, conversation};
use crate::trace::{SharedPrefix, Trace};

/// Interval that Mooncake's times are rounded to.
pub(super) const TICK: Duration = Duration::from_secs(3);

/// Returns rising load, and workloads of other kinds.
pub(in crate::study) fn loads(options: &Options, seed: u64) -> Result<Vec<Scenario>> {
    let cut = |trace: Trace| if options.quick { trace.first(QUICK) } else { trace };
    let conversation = conversation(options)?;
    let mut all = Vec::new();
    for speed in [1.0, 2.0, 2.5, 3.0] {
        let what = "requests as recorded, about ten at once every 3 s of the trace";
        all.push(Scenario::new(
            format!("conversation x{speed}"),
            what,
            conversation.clone().faster(speed),
        ));
    }
    for speed in [2.0, 3.0] {
        let what = "each request at a random moment of its 3 s";
        let trace = conversation.clone().spread(TICK, seed).faster(speed);
        all.push(Scenario::new(format!("conversation, spread, x{speed}"), what, trace));
    }
    for rate in [20.0, 40.0] {
        let what =
            "150 prefixes of 6,000 tokens, questions of 1,200, answers of 250, random arrivals";
        let name = format!("shared prefixes, {rate}/s");
        all.push(Scenario::new(name, what, cut(shared(rate).trace(seed))));
    }
    for speed in [8.0, 14.0] {
        let what = "no prompt has anything of another";
        let trace = cut(Trace::azure()?).faster(speed);
        all.push(Scenario::new(format!("Azure x{speed}"), what, trace));
    }
    all.extend(tight(seed).into_iter().map(|it| Scenario { trace: cut(it.trace), ..it }));
    Ok(all)
}

fn shared(rate: f64) -> SharedPrefix {
    SharedPrefix {
        prefixes: 150,
        prefix: 6_000,
        question: 1_200,
        answer: 250,
        requests: 12_000,
        rate,
    }
}

/// Returns shared prefixes that fit into caches of 160,000 tokens each if every prefix is in one place.
pub(super) fn roomy(seed: u64) -> Trace {
    shared(30.0).trace(seed)
}

/// Returns shared prefixes in caches that just hold them all, or just do not.
pub(super) fn tight(seed: u64) -> Vec<Scenario> {
    let what = "prefixes of 6,000 tokens, questions of 1,200, answers of 250, random arrivals";
    let few = SharedPrefix { prefixes: 40, requests: 8_000, ..shared(0.0) };
    [
        (SharedPrefix { rate: 30.0, ..shared(30.0) }, 160_000),
        (SharedPrefix { rate: 30.0, ..few }, 56_000),
        (SharedPrefix { rate: 24.0, ..few }, 48_000),
        (SharedPrefix { rate: 50.0, ..few }, 80_000),
    ]
    .map(|(shared, kv_tokens)| {
        let SharedPrefix { prefixes, rate, .. } = shared;
        let name = format!("{prefixes} prefixes, {rate}/s, {}k a pod", kv_tokens / 1_000);
        Scenario::new(name, what, shared.trace(seed)).with_kv_tokens(kv_tokens)
    })
    .into()
}
