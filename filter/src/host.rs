//! Envoy, as the filter sees it. The only file that calls the host.
//!
//! The SDK's getters that return `String` panic on the first byte that is no UTF-8, and a panic
//! takes down every request of the worker, so only the `_bytes` calls are used. The SDK also panics
//! on a status that it does not expect; each function here says when it may be called so that
//! Envoy's answer is one of those that come back as values.

use std::time::UNIX_EPOCH;

use engine::Instant;
use proxy_wasm::{
    hostcalls,
    types::{BufferType, MapType, MetricType},
};

/// Header names and raw values, in order, repeated names kept.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// Envoy's wall clock.
pub(crate) fn now() -> Instant {
    let since_epoch = hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    Instant::from_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// The plugin's configuration. From `on_configure` only.
pub(crate) fn plugin_configuration(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// All request headers, in one call: a second one would cost as much again. From a callback of a
/// request whose headers Envoy still holds.
pub(crate) fn request_headers() -> Headers {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
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

/// The first value of a response header. From `on_http_response_headers` only.
pub(crate) fn response_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok().flatten()
}

/// Sets a response header. From `on_http_response_headers` only.
pub(crate) fn set_response_header(name: &str, value: &str) {
    let _ =
        hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value.as_bytes()));
}

/// The first `size` bytes of the request body that Envoy has buffered. From a body or trailers
/// callback only.
pub(crate) fn request_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default()
}

/// Answers the request in Envoy's place. The callback must then return `Pause`.
pub(crate) fn reply(status: u16, headers: Vec<(&str, &str)>, body: &[u8]) {
    let _ = hostcalls::send_http_response(u32::from(status), headers, Some(body));
}

/// Sets the stream's own attribute, which other filters see as the filter state `wasm.NAME`.
pub(crate) fn set_property(name: &str, value: &str) {
    let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
}

/// Calls a function that Envoy offers beyond the ABI; false where it refuses or has none such.
pub(crate) fn call_foreign_function(name: &str, argument: &[u8]) -> bool {
    hostcalls::call_foreign_function(name, Some(argument)).is_ok()
}

/// What shared data holds under a key.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The bytes; empty where there are none.
    pub(crate) value: Vec<u8>,
    /// Changes with every write; `None` where the key was never written.
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

/// Writes shared data unless somebody wrote it since `read`; false if somebody did. A key that was
/// never written is written in any case: the ABI has no "create if absent".
pub(crate) fn share_if_unchanged(key: &str, value: &[u8], read: &Shared) -> bool {
    hostcalls::set_shared_data(key, Some(value), read.cas).is_ok()
}

/// A counter in Envoy's stats, summed over all workers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter(Option<u32>);

impl Counter {
    /// Defines the counter, or finds it.
    pub(crate) fn named(name: &str) -> Self {
        Self(hostcalls::define_metric(MetricType::Counter, name).ok())
    }

    /// Adds one.
    pub(crate) fn increment(self) {
        if let Self(Some(id)) = self {
            let _ = hostcalls::increment_metric(id, 1);
        }
    }
}
