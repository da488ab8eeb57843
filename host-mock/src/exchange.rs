//! An HTTP stream: the client's message, the filter's view of it, and what has reached each end.

use crate::{headers::HeaderMap, plugin::Plugin};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

pub(crate) type ExchangeRef = Rc<RefCell<Exchange>>;

/// The key of a VM in its Envoy: streams name their VM by it, as a VM knows its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct VmKey {
    /// Index of the worker; the number of workers stands for the main thread.
    pub(crate) worker: usize,
    /// Number of VMs that the worker had before this one, all of them dead.
    pub(crate) generation: u32,
}

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// Envoy's `iteration_state_` of the filter in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Iteration {
    #[default]
    Going,
    /// StopIteration: later filters wait, body still comes to this one.
    Single,
    /// StopAllIterationAndWatermark: nothing comes until the filter resumes the stream.
    All,
}

/// Access to a header map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hold {
    /// The map hasn't reached the filter.
    #[default]
    Coming,
    /// The filter may read and write it.
    Held,
    /// The filter resumed the stream and can't see it any more, but it hasn't moved yet.
    LetGo,
    /// The map is past the filter.
    Gone,
}

/// The part of a body that `get_buffer` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum View {
    /// The bytes of the present callback.
    #[default]
    Chunk,
    /// All buffered bytes, because the filter paused in the body callback.
    Whole,
}

/// A direction of a stream, as the filter manager and the filter's context hold it.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) headers_hold: Hold,
    pub(crate) trailers_hold: Hold,
    pub(crate) iteration: Iteration,
    /// Bytes that the filter manager keeps back. `Some` of nothing still carries an end of stream.
    pub(crate) buffered: Option<Vec<u8>>,
    pub(crate) view: View,
    /// Bytes that went on and that the router keeps for another try, in the filter manager's buffer.
    pub(crate) kept: Vec<u8>,
    /// The bytes of the present body callback.
    pub(crate) chunk: Vec<u8>,
    pub(crate) ended: bool,
}

impl Direction {
    pub(crate) fn new(headers: HeaderMap, ended: bool) -> Self {
        Self { headers, ended, ..Self::default() }
    }

    /// Marks the headers as past the filter; false if they were already.
    pub(crate) fn release_headers(&mut self) -> bool {
        std::mem::replace(&mut self.headers_hold, Hold::Gone) != Hold::Gone
    }

    /// Returns the body as `get_buffer` shows it.
    pub(crate) const fn body(&self) -> &Vec<u8> {
        match (&self.buffered, self.view) {
            (Some(all), View::Whole) => all,
            _ => &self.chunk,
        }
    }

    pub(crate) fn body_mut(&mut self) -> &mut Vec<u8> {
        match (&mut self.buffered, self.view) {
            (Some(all), View::Whole) => all,
            _ => &mut self.chunk,
        }
    }

    pub(crate) fn buffer(&mut self, bytes: &[u8]) -> usize {
        let all = self.buffered.get_or_insert_default();
        all.extend_from_slice(bytes);
        all.len()
    }
}

/// The message that the router got, and its knowledge of the stream when the headers reached it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Request headers after the filter.
    pub headers: HeaderMap,
    /// Bytes of the body so far.
    pub body: Vec<u8>,
    /// Request trailers.
    pub trailers: Option<HeaderMap>,
    /// True if the request is whole.
    pub complete: bool,
    /// Filter state written with the foreign function `set_envoy_filter_state`.
    pub filter_state: BTreeMap<String, String>,
    /// Properties written with `set_property` (Envoy's filter state `wasm.<key>`).
    pub properties: BTreeMap<String, Vec<u8>>,
}

/// The response that the client got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Response headers, `:status` included.
    pub headers: HeaderMap,
    /// Bytes of the body so far.
    pub body: Vec<u8>,
    /// Response trailers.
    pub trailers: Option<HeaderMap>,
    /// True if the response is whole.
    pub complete: bool,
}

impl Response {
    /// Returns the body as text, with replacement characters where it isn't UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer that comes from Envoy itself.
#[derive(Debug, Clone)]
pub(crate) struct LocalReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) details: String,
    pub(crate) flags: u64,
}

impl LocalReply {
    pub(crate) fn new(status: u16, body: &str, details: &str, flags: u64) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            details: details.to_owned(),
            flags,
        }
    }
}

/// The life of a stream in the connection manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// A local reply is under way: nothing more of the request comes to the filter.
    Replied,
    /// Over for Envoy, and `on_log` runs: headers of both directions are readable again.
    Logging,
    /// The filter's last callbacks run.
    Ending,
    Over,
}

/// A stream, shared by the test's handle, the machine and the VM's context table.
pub(crate) struct Exchange {
    pub(crate) vm: VmKey,
    pub(crate) plugin: Rc<Plugin>,
    /// Id of the filter's context; 0 until it exists, and a bypassed filter never gets one.
    pub(crate) context: u32,
    pub(crate) phase: Phase,
    pub(crate) request: Direction,
    pub(crate) response: Direction,
    /// Bytes that the buffer filter after ours holds, if there is one.
    pub(crate) held: Vec<u8>,
    pub(crate) upstream: Option<Upstream>,
    /// Address of the upstream host; `None` until one was picked, and the filter can't read it
    /// before.
    pub(crate) upstream_address: Option<String>,
    pub(crate) client: Option<Response>,
    pub(crate) reset: bool,
    pub(crate) details: Option<String>,
    pub(crate) flags: u64,
    pub(crate) filter_state: BTreeMap<String, String>,
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    pub(crate) preset: BTreeMap<String, Vec<u8>>,
    pub(crate) route_cache_clears: u32,
    pub(crate) started_nanos: u64,
    /// Time at which stream_idle_timeout strikes, in nanoseconds since the Unix epoch.
    pub(crate) idle_at: u64,
}

impl Exchange {
    pub(crate) const fn side(&self, side: Side) -> &Direction {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    pub(crate) const fn side_mut(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// True if bytes of this direction still go anywhere.
    pub(crate) fn flows(&self, side: Side) -> bool {
        match side {
            Side::Request => self.phase == Phase::Open,
            Side::Response => self.phase <= Phase::Replied,
        }
    }
}

/// Envoy's response flags, as `response.flags` shows them.
pub(crate) mod flag {
    pub(crate) const NO_HEALTHY_UPSTREAM: u64 = 0x2;
    pub(crate) const UPSTREAM_TIMEOUT: u64 = 0x4;
    pub(crate) const UPSTREAM_CONNECT_FAILURE: u64 = 0x20;
    pub(crate) const UPSTREAM_CLOSED: u64 = 0x40;
    pub(crate) const DOWNSTREAM_CLOSED: u64 = 0x4000;
    pub(crate) const STREAM_IDLE: u64 = 0x1_0000;
    pub(crate) const UPSTREAM_PROTOCOL: u64 = 0x80_0000;
}
