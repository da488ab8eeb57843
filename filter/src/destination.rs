//! The destination of a request, written for Envoy in the way that the configuration names.

use picker_core::SchedulingResult;
use wire::config::Destination;

use crate::{fast_format::FastFormat, host};

/// Header that override_host clusters read; a client must never set it.
pub(crate) const HEADER: &str = "x-gateway-destination-endpoint";

/// The stream's own attribute of the `property` way; `header_mutation` reads it as
/// `%FILTER_STATE(wasm.llm-picker-destination:PLAIN)%`.
const PROPERTY: &str = "llm-picker-destination";

/// Filter state that ORIGINAL_DST clusters read.
const FILTER_STATE: &str = "envoy.network.transport_socket.original_dst_address";

/// Writes the endpoints, best first, and the decision's other headers. For those, as for the `header`
/// way, Envoy must still hold the headers; the configuration sees to that.
pub(crate) fn write(way: Destination, decision: &SchedulingResult) {
    for (name, value) in &decision.headers {
        host::set_request_header(name, value);
    }
    match way {
        Destination::Header => host::set_request_header(HEADER, &list(decision)),
        Destination::Property => host::set_property(PROPERTY, &list(decision)),
        Destination::FilterState => {
            let Some(best) = decision.destinations().next() else { return };
            let argument = filter_state_argument(FILTER_STATE, &best.to_string());
            if !host::call_foreign_function("set_envoy_filter_state", &argument) {
                log::error!("Envoy refused the filter state {FILTER_STATE} = {best}");
            }
        }
    }
}

fn list(decision: &SchedulingResult) -> String {
    let mut list = String::with_capacity(64);
    for endpoint in decision.destinations() {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_address(endpoint);
    }
    list
}

/// Encodes Envoy's `SetEnvoyFilterStateArguments`: path = 1, value = 2, span = 3. A dozen bytes of
/// protobuf do not pay for a protobuf library in the module.
fn filter_state_argument(path: &str, value: &str) -> Vec<u8> {
    const LENGTH_DELIMITED: u8 = 2;
    const VARINT: u8 = 0;
    const SPAN_DOWNSTREAM_REQUEST: u8 = 1;
    let mut message = Vec::with_capacity(path.len() + value.len() + 6);
    for (field, text) in [(1, path), (2, value)] {
        // A length under 128 is its own varint; both texts are names and addresses.
        let Ok(length @ 0..128) = u8::try_from(text.len()) else { return Vec::new() };
        message.extend([field << 3 | LENGTH_DELIMITED, length]);
        message.extend(text.as_bytes());
    }
    message.extend([3 << 3 | VARINT, SPAN_DOWNSTREAM_REQUEST]);
    message
}
