//! The ticks of a plugin instance: often while requests wait or bodies crowd, seldom otherwise.

use std::time::Duration;

use picker_core::Instant;

use crate::{host, vm};

/// Time between looks at the clock while requests wait: a request waits at most its time to live and
/// this much more. Envoy rounds it up to a multiple of 4 ms.
const BUSY_TICK: Duration = Duration::from_millis(20);

/// Time between heartbeats otherwise. Three of these missed are a dead worker.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Asks for the ticks that busy or idle pools need, in the plugin instance of this context id, which ticks now. Envoy
/// acts on it.
pub(crate) fn ask(context: u32, is_busy: bool) {
    vm::tick(context, is_busy);
    host::set_tick_period(if is_busy { BUSY_TICK } else { IDLE_TICK });
}

/// Asks for a tick soon, in the plugin instance of this context id. Envoy acts on it or on a stream of its. Once a tick,
/// as each call puts the tick off: clients that have reason after reason for one would else stop it, and with it
/// the worker's heartbeat.
pub(crate) fn soon(context: u32) {
    if vm::wish_for_tick(context) {
        host::tick_from_now(BUSY_TICK);
    }
}

/// Returns a number that rises by one from each tick of busy pools to the next.
pub(crate) fn number(now: Instant) -> usize {
    usize::try_from(u128::from(now.as_nanos()) / BUSY_TICK.as_nanos()).unwrap_or_default()
}
