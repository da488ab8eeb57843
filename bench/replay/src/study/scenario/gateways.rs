//! The same loads behind several gateways, apart and as one.

use anyhow::Result;

use super::{Options, QUICK, Scenario, conversation, open};
use crate::trace::Trace;

/// Numbers of gateways.
pub(in crate::study) const GATEWAYS: [usize; 3] = [2, 4, 8];

/// Returns a scenario for one gateway, and two for each number of several: those that know nothing of
/// each other, and those that exchange what they know.
pub(in crate::study) fn gateways(options: &Options, seed: u64) -> Result<Vec<Scenario>> {
    let cut = |trace: Trace| if options.quick { trace.first(QUICK) } else { trace };
    let conversation = conversation(options)?;
    let spread = |speed| conversation.clone().spread(open::TICK, seed).faster(speed);
    let mut all = Vec::new();
    let mut add = |base: &dyn Fn(String, &str) -> Scenario, name: &str| {
        all.push(base(format!("{name}, one gateway"), "for comparison"));
        for count in GATEWAYS {
            let apart = base(format!("{name}, {count} apart"), "that know nothing of each other");
            all.push(apart.behind(count));
            let as_one = base(format!("{name}, {count} as one"), "that exchange what they know");
            all.push(as_one.behind(count).exchanging());
        }
    };
    let of_trace = |trace: Trace| move |name, what: &str| Scenario::new(name, what, trace.clone());
    add(&of_trace(spread(2.0)), "gateways, spread x2");
    add(&of_trace(spread(3.0)), "gateways, spread x3");
    add(&of_trace(conversation.clone().faster(2.0)), "gateways, bursts x2");
    let tight = |name, what: &str| {
        Scenario::new(name, what, cut(open::roomy(seed))).with_kv_tokens(160_000)
    };
    add(&tight, "gateways, shared prefixes 30/s");
    Ok(all)
}
