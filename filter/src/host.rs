//! The host, which is Envoy. No other file calls it.
//!
//! The SDK's getters that return `String` panic on the first byte that is no UTF-8, and a panic
//! takes down every request of the worker, so only the `_bytes` calls are used. The SDK also panics
//! on a status that it does not expect; each function here says when it may be called so that
//! Envoy's answer is one of those that come back as values.

mod clock;
mod headers;

use std::{
    hash::BuildHasher,
    net::{IpAddr, SocketAddr},
    time::{Duration, UNIX_EPOCH},
};

pub(crate) use clock::now;
pub(crate) use headers::Headers;
use proxy_wasm::{
    hostcalls,
    types::{BufferType, MapType, MetricType},
};

fn headers(map: MapType) -> Headers {
    Headers::of(hostcalls::get_map_bytes(map).unwrap_or_default())
}

/// Reads the wall clock, since the Unix epoch: only for what another machine compares.
pub(crate) fn wall_clock() -> Duration {
    let time = hostcalls::get_current_time().ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
}

/// Logs from the level on that the host logs from now, which an operator may change while it runs. What is below costs no call.
pub(crate) fn follow_log_level() {
    if let Ok(level) = hostcalls::get_log_level() {
        proxy_wasm::set_log_level(level);
    }
}

/// Returns a number that differs from VM to VM and from call to call.
pub(crate) fn random() -> u64 {
    std::collections::hash_map::RandomState::new().hash_one(0_u8)
}

/// Reads the plugin's configuration. From `on_configure` only.
pub(crate) fn plugin_configuration(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Reads the name of the plugin and its `root_id`, which together tell it from others of this vm_id.
pub(crate) fn plugin_name() -> String {
    let part = |name| property(vec![name]);
    let (name, root) = (part("plugin_name"), part("plugin_root_id"));
    format!("{}/{}", String::from_utf8_lossy(&name), String::from_utf8_lossy(&root))
}

/// Reads all request headers in one call: a second one would cost as much again. From a callback of a
/// request while Envoy still holds its headers.
pub(crate) fn request_headers() -> Headers {
    headers(MapType::HttpRequestHeaders)
}

/// Sets a request header to this one value. While Envoy still holds the headers only.
pub(crate) fn set_request_header(name: &str, value: &str) {
    let _ =
        hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value.as_bytes()));
}

/// Removes every value of a request header. While Envoy still holds the headers only.
pub(crate) fn remove_request_header(name: &str) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, None);
}

/// Reads all response headers in one call. From `on_http_response_headers` only.
pub(crate) fn response_headers() -> Headers {
    headers(MapType::HttpResponseHeaders)
}

/// Reads all response trailers. From `on_http_response_trailers` only.
pub(crate) fn response_trailers() -> Headers {
    headers(MapType::HttpResponseTrailers)
}

/// Removes every value of a response header. From `on_http_response_headers` only.
pub(crate) fn remove_response_header(name: &str) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, None);
}

/// Removes every value of a response trailer. From `on_http_response_trailers` only.
pub(crate) fn remove_response_trailer(name: &str) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseTrailers, name, None);
}

/// Reads the endpoint that the router has the response from; `None` where there is none, as where Envoy
/// answered by itself. From `on_http_response_headers` on.
pub(crate) fn upstream_address() -> Option<SocketAddr> {
    let address = hostcalls::get_property(vec!["upstream", "address"]).ok().flatten()?;
    std::str::from_utf8(&address).ok()?.parse().ok()
}

/// Sets a response header. From `on_http_response_headers` only.
pub(crate) fn set_response_header(name: &str, value: &str) {
    let _ =
        hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value.as_bytes()));
}

/// Reads the first `size` bytes of the request body that Envoy has buffered. From a body or trailers
/// callback only.
pub(crate) fn request_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default()
}

/// Puts another body in the place of the request's, all `size` bytes of which Envoy has buffered.
/// From a body or trailers callback only.
pub(crate) fn set_request_body(size: usize, body: &[u8]) {
    let _ = hostcalls::set_buffer(BufferType::HttpRequestBody, 0, size, body);
}

/// Reads the part of the response body that is passing. From `on_http_response_body` only.
pub(crate) fn response_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size).ok().flatten().unwrap_or_default()
}

/// Puts other bytes in the place of those that are passing, `size` of them. From
/// `on_http_response_body` only.
pub(crate) fn set_response_body(size: usize, body: &[u8]) {
    let _ = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, body);
}

/// Answers the request in Envoy's place. The callback must then return `Pause`.
pub(crate) fn reply(status: u16, headers: Vec<(&str, &str)>, body: &[u8]) {
    let _ = hostcalls::send_http_response(u32::from(status), headers, Some(body));
}

/// Cuts off a response that has begun.
pub(crate) fn reset_response() {
    let _ = hostcalls::reset_http_response();
}

/// Sets the stream's own attribute, which other filters see as the filter state `wasm.NAME`.
pub(crate) fn set_property(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Reads the cluster of the route that Envoy has found for the request; empty where it found none.
pub(crate) fn route_cluster() -> Vec<u8> {
    property(vec!["xds", "cluster_name"])
}

/// True if the response broke off at the upstream's end: its connection was closed, reset or timed
/// out. From `on_log` only.
pub(crate) fn upstream_broke() -> bool {
    // Envoy's response flags UT, UR, UC and UPE. The last is an HTTP/1.1 response that was cut off: to
    // Envoy's codec, an end where the protocol has none.
    const BROKE: u64 = 0x4 | 0x10 | 0x40 | 0x80_0000;
    let flags = property(vec!["response", "flags"]);
    flags.first_chunk().is_some_and(|flags| u64::from_le_bytes(*flags) & BROKE != 0)
}

/// Reads a value that a filter in front has left with the request (dynamic metadata), as text: no client can
/// put one there. Empty where there is none.
pub(crate) fn filter_metadata(namespace: &str, key: &str) -> Vec<u8> {
    property(vec!["metadata", "filter_metadata", namespace, key])
}

/// Reads the address of the client: that of its connection, or the one that as many proxies as Envoy is told to
/// trust (`xff_num_trusted_hops`) have put into X-Forwarded-For.
pub(crate) fn client_address() -> Option<IpAddr> {
    let address = property(vec!["source", "address"]);
    let address: SocketAddr = std::str::from_utf8(&address).ok()?.parse().ok()?;
    Some(address.ip().to_canonical())
}

/// Reads the number of the stream's connection: Envoy gives each a greater one than all before it.
pub(crate) fn connection_number() -> Option<u64> {
    property(vec!["connection", "id"]).first_chunk().map(|number| u64::from_le_bytes(*number))
}

fn property(path: Vec<&str>) -> Vec<u8> {
    hostcalls::get_property(path).ok().flatten().unwrap_or_default()
}

/// Asks for `on_tick` every `period` in this plugin instance. From any callback of it.
pub(crate) fn set_tick_period(period: Duration) {
    // The SDK panics on failure and never returns an error.
    let _ = hostcalls::set_tick_period(period);
}

/// Asks for `on_tick` one `period` from now and then every `period`. A timer that runs keeps its next
/// due time whatever its new period is, so it is stopped first.
pub(crate) fn tick_from_now(period: Duration) {
    set_tick_period(Duration::ZERO);
    set_tick_period(period);
}

/// Makes the calls that follow act on another stream; false if it is gone. The caller makes them act on
/// its own context again before it returns.
#[must_use]
pub(crate) fn act_on(context_id: u32) -> bool {
    hostcalls::set_effective_context(context_id).is_ok()
}

/// Has Envoy keep the whole body of a request whose headers are held, `stream` being its context and
/// `root` the plugin instance's: from `on_http_request_headers` only, which must then return `Pause`.
/// Envoy shows nothing of the body until the request is resumed, and takes no more of it than its
/// buffers may hold. `Pause` alone would have it shown, and refused where the buffers are full.
///
/// The SDK's actions have no word for this. But whatever a callback returns stops all of its stream once
/// the plugin has replied, and the reply of a plugin instance, which has no client, goes nowhere. A host
/// that takes this otherwise shows the body; the stream is prepared for that.
pub(crate) fn hold_body(stream: u32, root: u32) {
    if act_on(root) {
        reply(503, Vec::new(), &[]);
        let _ = act_on(stream);
    }
}

/// Lets a held request go on. Not inline from `on_log`, where it could recurse until V8's stack ends.
pub(crate) fn resume_request() {
    let _ = hostcalls::resume_http_request();
}

/// Registers a queue: messages in it wake the plugin instance `woken` in this worker. `own` is the caller's context.
pub(crate) fn register_queue(name: &str, woken: u32, own: u32) -> Option<u32> {
    let queue = act_on(woken).then(|| hostcalls::register_shared_queue(name).ok());
    let _ = act_on(own);
    queue.flatten()
}

/// Puts a message into a queue. It wakes the instance that registered it, later and never inline. False
/// where no worker has registered the queue: its worker was one of before the last restart.
pub(crate) fn enqueue(queue: u32, message: &[u8]) -> bool {
    hostcalls::enqueue_shared_queue(queue, Some(message)).is_ok()
}

/// Takes the next message out of a queue.
pub(crate) fn dequeue(queue: u32) -> Option<Vec<u8>> {
    hostcalls::dequeue_shared_queue(queue).ok().flatten()
}

/// Sends a request to a cluster; `on_http_call_response` of the context that Envoy acts on has the
/// answer, under this token. `None` if Envoy has no such cluster.
pub(crate) fn http_call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: Option<&[u8]>,
    timeout: Duration,
) -> Option<u32> {
    hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout).ok()
}

/// Reads the headers of the answer to a call. From `on_http_call_response` only, and only if there are
/// any.
pub(crate) fn http_call_response_headers() -> Headers {
    headers(MapType::HttpCallResponseHeaders)
}

/// Reads the first `size` bytes of the answer's body. From `on_http_call_response` only.
pub(crate) fn http_call_response_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Calls a function that Envoy offers beyond the ABI; false where it refuses or has none such.
pub(crate) fn call_foreign_function(name: &str, argument: &[u8]) -> bool {
    hostcalls::call_foreign_function(name, Some(argument)).is_ok()
}

/// A value of shared data, as it was read.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The bytes; empty where there are none.
    pub(crate) value: Vec<u8>,
    /// Number of the value's version, which changes with every write; `None` where the key was never
    /// written.
    pub(crate) cas: Option<u32>,
}

/// Reads shared data, which all workers see.
pub(crate) fn shared(key: &str) -> Shared {
    let (value, cas) = hostcalls::get_shared_data(key).unwrap_or_default();
    Shared { value: value.unwrap_or_default(), cas }
}

/// Writes shared data, whatever it holds.
pub(crate) fn share(key: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(key, Some(value), None);
}

/// Empties a value, if there is one: a key can't be removed.
pub(crate) fn empty_shared(key: &str) {
    if !shared(key).value.is_empty() {
        share(key, &[]);
    }
}

/// Writes an empty value where there is none, so that [`share_if_unchanged`] holds for the key. For
/// `on_configure` only: Envoy calls that on its main thread before any worker has a VM. So either no
/// worker's value is there yet, or the main thread sees that it is.
pub(crate) fn create_shared(key: &str) {
    if shared(key).cas.is_none() {
        share(key, &[]);
    }
}

/// Writes shared data unless another worker wrote it since it was read with this `cas`; false if one
/// did. A key that was never written is written in any case, over another worker's first value too: the
/// ABI has no "create if absent". So a key that is written this way is created first, by
/// [`create_shared`].
pub(crate) fn share_if_unchanged(key: &str, value: &[u8], cas: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), cas).is_ok()
}

/// A counter in Envoy's stats, summed over all workers, or a gauge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric(Option<u32>);

impl Metric {
    /// Defines a counter, or finds it.
    pub(crate) fn counter(name: &str) -> Self {
        Self(hostcalls::define_metric(MetricType::Counter, name).ok())
    }

    /// Defines a gauge, or finds it.
    pub(crate) fn gauge(name: &str) -> Self {
        Self(hostcalls::define_metric(MetricType::Gauge, name).ok())
    }

    /// Sets a gauge.
    pub(crate) fn record(self, value: u64) {
        if let Self(Some(id)) = self {
            let _ = hostcalls::record_metric(id, value);
        }
    }

    /// Raises or lowers a gauge that several workers add up in; nothing is no call.
    pub(crate) fn shift(self, by: i64) {
        if let Self(Some(id)) = self
            && by != 0
        {
            let _ = hostcalls::increment_metric(id, by);
        }
    }

    /// Adds to a counter; nothing is no call.
    pub(crate) fn add(self, more: u32) {
        if let Self(Some(id)) = self
            && more > 0
        {
            let _ = hostcalls::increment_metric(id, i64::from(more));
        }
    }

    /// Reads a counter, over all workers.
    pub(crate) fn value(self) -> u64 {
        self.0.and_then(|id| hostcalls::get_metric(id).ok()).unwrap_or_default()
    }
}
