//! The price of proxy-wasm by itself: makes the host calls that the picker makes for a request of 1 KB, in the same callbacks and
//! about the same sizes, and decides nothing. What `bench/instructions.py` counts for it, no picker of this design goes below.
//!
//! It must not be used for traffic: whom a request goes to is up to Envoy's own load balancing.
#![allow(missing_docs, reason = "the SDK's macro makes a public function without any")]

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{Action, BufferType, ContextType, MapType, MetricType},
};

/// A ledger of three endpoints, a row of it, and a note of four blocks, in bytes.
const LEDGER: [u8; 160] = [0; 160];
const ROW: [u8; 110] = [0; 110];
const NOTE: [u8; 90] = [0; 90];

const HISTOGRAMS: usize = 6;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { metrics: Vec::new() }));
}}

struct Root {
    metrics: Vec<u32>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let define =
            |number| hostcalls::define_metric(MetricType::Histogram, &format!("h{number}"));
        self.metrics = (0..HISTOGRAMS).filter_map(|number| define(number).ok()).collect();
        let counter = hostcalls::define_metric(MetricType::Counter, "c");
        self.metrics.extend(counter.ok());
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { metrics: self.metrics.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    metrics: Vec<u32>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        clock();
        let _ = hostcalls::get_map_bytes(MapType::HttpRequestHeaders);
        if end_of_stream { Action::Continue } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        let _ = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size);
        clock();
        change_ledger();
        share("crossings/note", &NOTE);
        share("crossings/row", &ROW);
        header(MapType::HttpRequestHeaders, "x-crossings", "127.0.0.1:12345,127.0.0.1:12346");
        self.count();
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let _ = hostcalls::get_map_bytes(MapType::HttpResponseHeaders);
        let _ = hostcalls::get_property(vec!["upstream", "address"]);
        let decision = "endpoint=127.0.0.1:12345;estimated-ttft=1.00;score=1.00;prefix-hit=0.50";
        header(MapType::HttpResponseHeaders, "x-crossings-decision", decision);
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        clock();
        let _ = hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size);
        if end_of_stream {
            clock();
            change_ledger();
            share("crossings/row", &ROW);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        clock();
        self.count();
        self.count();
        for histogram in self.metrics.iter().take(HISTOGRAMS) {
            let _ = hostcalls::record_metric(*histogram, 1);
        }
    }
}

impl Stream {
    fn count(&self) {
        if let Some(counter) = self.metrics.last() {
            let _ = hostcalls::increment_metric(*counter, 1);
        }
    }
}

fn clock() {
    let _ = hostcalls::get_current_time();
}

fn change_ledger() {
    let cas = hostcalls::get_shared_data("crossings/ledger").ok().and_then(|(_, cas)| cas);
    let _ = hostcalls::set_shared_data("crossings/ledger", Some(&LEDGER), cas);
}

fn share(key: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(key, Some(value), None);
}

fn header(map: MapType, name: &str, value: &str) {
    let _ = hostcalls::set_map_value_bytes(map, name, Some(value.as_bytes()));
}
