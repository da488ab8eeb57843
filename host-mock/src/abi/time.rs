//! The clock and ticks.

use super::{
    call::Call,
    host::{Host, Outcome, finish},
};
use crate::vm_state::Tick;
use wasmtime::{Caller, Linker};

const NANOS_PER_MILLI: u64 = 1_000_000;

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_get_current_time_nanoseconds", |c: Caller<'_, Host>, out: u32| {
        let mut call = Call::new(c);
        let now = call.host().world.borrow().wall_nanos();
        finish(call.write(out, &now.to_le_bytes()))
    })?;
    l.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |c: Caller<'_, Host>, millis: u32| finish(set_tick_period(c.data().called(), millis)),
    )?;
    Ok(())
}

fn set_tick_period(host: &Host, millis: u32) -> Outcome {
    let root = host.root_id();
    let now = host.world.borrow().now_nanos;
    let period_nanos = u64::from(millis) * NANOS_PER_MILLI;
    let ticks = &mut host.vm.borrow_mut().ticks;
    match (millis, ticks.get_mut(&root)) {
        (0, _) => {
            ticks.remove(&root);
        }
        // A running timer keeps its next due time; the new period counts from then on.
        (_, Some(tick)) => tick.period_nanos = period_nanos,
        (_, None) => {
            ticks.insert(root, Tick { period_nanos, due_nanos: now + period_nanos });
        }
    }
    Ok(())
}
