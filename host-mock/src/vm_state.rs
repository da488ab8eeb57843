//! State that the host keeps about one VM outside of the VM's memory.

use crate::{
    exchange::{ExchangeRef, LocalReply, Response, Side, VmKey},
    plugin::Plugin,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

/// Meaning of a context id in its VM.
#[derive(Clone)]
pub(crate) enum Context {
    Root(Rc<Plugin>),
    Stream { stream: ExchangeRef, root: u32 },
}

/// An action that a host call asked for, done when the present VM call has returned.
pub(crate) enum Deferred {
    Continue(ExchangeRef, Side),
    Reply(ExchangeRef, LocalReply),
    Close(ExchangeRef),
}

/// A root context's tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) period_nanos: u64,
    pub(crate) due_nanos: u64,
}

/// Contexts, timers and pending actions of a VM.
#[derive(Default)]
pub(crate) struct VmState {
    pub(crate) key: VmKey,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) last_context: u32,
    /// Root contexts that are done and were not deleted, as they asked.
    pub(crate) done: BTreeSet<u32>,
    pub(crate) ticks: BTreeMap<u32, Tick>,
    pub(crate) deferred: VecDeque<Deferred>,
    /// True after any local reply: the value that the present callback returns then becomes a stop.
    pub(crate) stop_iteration: bool,
    /// Answer that `on_http_call_response` may read.
    pub(crate) call_answer: Option<Response>,
    /// Plugin of the configuration that `get_buffer` shows, during on_configure.
    pub(crate) configuring: Option<Rc<Plugin>>,
    /// Reason of the VM's death; `None` while it lives.
    pub(crate) failure: Option<String>,
}
