//! The price of a filter that looks at headers: reads those of a request and of its answer, writes one of each, and decides nothing. No
//! filter that picks for a request without a body goes below.
//!
//! It must not be used for traffic: whom a request goes to is up to Envoy's own load balancing.
#![allow(missing_docs, reason = "the SDK's macro makes a public function without any")]

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, MapType},
};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let _ = hostcalls::get_map_bytes(MapType::HttpRequestHeaders);
        header(MapType::HttpRequestHeaders, "x-headers", "127.0.0.1:12345,127.0.0.1:12346");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let _ = hostcalls::get_map_bytes(MapType::HttpResponseHeaders);
        header(MapType::HttpResponseHeaders, "x-headers", "127.0.0.1:12345");
        Action::Continue
    }
}

fn header(map: MapType, name: &str, value: &str) {
    let _ = hostcalls::set_map_value_bytes(map, name, Some(value.as_bytes()));
}
