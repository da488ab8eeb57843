//! State that all VMs of one Envoy share: the clock, chance, shared data, queues, metrics and logs.

pub(crate) mod calls;
pub(crate) mod metrics;
pub(crate) mod queues;
pub(crate) mod rng;
pub(crate) mod shared_data;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// The world as the machine and the host functions of every VM share it.
pub(crate) type WorldRef = Rc<RefCell<World>>;

/// The process-wide state of an Envoy.
pub(crate) struct World {
    pub(crate) vm_id: String,
    pub(crate) vm_config: Vec<u8>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) clusters: Vec<String>,
    /// The monotonic clock, in nanoseconds since the machine booted.
    pub(crate) now_nanos: u64,
    /// Nanoseconds by which the wall clock, which counts from the Unix epoch, is ahead of that.
    pub(crate) wall_ahead_nanos: u64,
    pub(crate) rng: rng::Rng,
    pub(crate) shared_data: shared_data::SharedData,
    pub(crate) queues: queues::Queues,
    pub(crate) metrics: metrics::Metrics,
    pub(crate) calls: calls::Calls,
    /// Properties of every stream, unless the stream has its own: path parts joined by dots.
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    pub(crate) logs: Vec<LogLine>,
    /// Level that the host logs from.
    pub(crate) log_level: Level,
    pub(crate) crossings: Crossings,
    /// True if the reply of a context without a stream stops what the present callback returns.
    pub(crate) reply_of_none_stops: bool,
}

impl World {
    /// Reads the wall clock, in nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self) -> u64 {
        self.now_nanos.saturating_add(self.wall_ahead_nanos)
    }
}

/// Work of the VMs, and crossings of the border between them and Envoy. In Envoy 1.40 a callback
/// takes about 1,800 instructions, a call 500 to 4,500, and a call that allocates 8,000 more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crossings {
    /// Number of calls of Envoy into a VM.
    pub callbacks: u64,
    /// Number of host calls.
    pub calls: u64,
    /// Number of host calls that had the VM allocate memory for what they return.
    pub allocations: u64,
    /// Instructions that the VMs executed, as wasmtime counts fuel: one a wasm instruction, and the
    /// same on every machine for the same module.
    pub instructions: u64,
}

/// A line that a VM logged, or that the host logged about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Index of the worker; the number of workers stands for the main thread.
    pub worker: usize,
    /// Severity of the line.
    pub level: Level,
    /// Text of the line.
    pub message: String,
}

/// Levels of proxy-wasm, plus the streams of WASI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `proxy_log` level 0.
    Trace,
    /// `proxy_log` level 1, and what the plugin wrote to standard output.
    Debug,
    /// `proxy_log` level 2.
    Info,
    /// `proxy_log` level 3.
    Warn,
    /// `proxy_log` level 4, and what the plugin wrote to standard error.
    Error,
    /// `proxy_log` level 5, and the host's own report of a dead VM.
    Critical,
}

impl Level {
    pub(crate) const fn from_abi(level: u32) -> Option<Self> {
        Some(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }
}

impl World {
    pub(crate) fn log(&mut self, worker: usize, level: Level, message: impl Into<String>) {
        self.logs.push(LogLine { worker, level, message: message.into() });
    }
}
