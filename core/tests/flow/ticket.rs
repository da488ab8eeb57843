//! Tickets, as short as tests want them.

use std::time::Duration;

use picker_core::{
    Instant,
    flow::{FairnessId, FlowKey, PhaseKind, Priority, Ticket, TicketId},
    ledger::PoolPhase,
};

/// Makes request `request` of worker 0, which came at `ms`; one byte, one token, no wishes.
pub(crate) fn ticket(request: u32, flow: &str, priority: i32, ms: u64) -> Ticket {
    Ticket {
        id: TicketId { worker: 0, request },
        flow: FlowKey { id: FairnessId::new(flow), priority: Priority(priority) },
        bytes: 1,
        prompt_tokens: 1,
        uncached_tokens: 1,
        output_tokens: 0,
        arrived: at(ms),
        ttl: None,
        slo_ttft: None,
    }
}

/// Returns a pool that has had endpoints since the beginning.
pub(crate) fn serving() -> PoolPhase {
    PoolPhase { kind: PhaseKind::Serving, since: at(0) }
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
