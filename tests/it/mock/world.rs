//! An Envoy of four workers with a picker and an ingest, as envoy/local/ configures them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and says where it was")]

use std::{
    cell::Cell,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use host_mock::{
    Builder, Envoy, FailPolicy, HeaderMap, LatePart, Level, Metric, Module, Plugin, Stream,
};
use serde_json::{Value, json};
pub(super) use wire::config::Way;
use wire::config::{Destination, Hold};

use super::push::{Pod, Push, SECRET};

/// Workers of every world: enough that a rule for two is not one by chance.
pub(super) const WORKERS: usize = 4;

pub(super) const CHAT: &str = "/v1/chat/completions";

/// What the client must not set, and the filter's own word to Envoy.
pub(super) const DESTINATION: &str = "x-gateway-destination-endpoint";

/// What envoy/local/ gives a virtual host: twice the filter's own limit on a body.
const BUFFER_LIMIT: usize = 64 << 20;

/// Compiled once per process, which takes more than most stories.
static MODULE: LazyLock<Module> = LazyLock::new(|| {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/llm-picker.wasm");
    let path = env::var_os("LLM_PICKER_WASM").map_or_else(built, PathBuf::from);
    Module::from_file(&path).unwrap_or_else(|error| panic!("{error}; ./build.sh makes it"))
});

/// An Envoy that runs the filter.
pub(super) struct World {
    pub(super) envoy: Envoy,
    way: Way,
    /// The picker's configuration at the start.
    pub(super) config: Value,
    /// The number of the next push.
    sequence: Cell<u64>,
}

impl World {
    /// The plain one: header destination, FailClose, decision header on.
    pub(super) fn new() -> Self {
        Self::with(Way::STOP_ITERATION_HEADER, &json!({}))
    }

    /// One with these keys of the picker's configuration set, which win over those of the way.
    pub(super) fn with(way: Way, keys: &Value) -> Self {
        Self::on(builder(), way, keys)
    }

    /// The same on another host.
    pub(super) fn on(host: Builder, way: Way, keys: &Value) -> Self {
        let buffered = way.hold() == Hold::BufferFilter;
        let mut config = json!({"decisionHeader": true, "envoy": settings(way)});
        merge(&mut config, keys);
        let plugin = Plugin::new("picker", config.to_string())
            .allow_on_headers_stop_iteration(!buffered)
            .fail_policy(FailPolicy::Reload);
        let plugin = if buffered { plugin.then_buffer_filter(BUFFER_LIMIT) } else { plugin };
        let ingest = Plugin::new("ingest", r#"{"ingest": {"maxBytes": 100000}}"#)
            .allow_on_headers_stop_iteration(true)
            .fail_policy(FailPolicy::Reload);
        let envoy = host.plugin(plugin).plugin(ingest).start().unwrap();
        Self { envoy, way, config, sequence: Cell::new(1) }
    }

    /// A push of these pods, newer than all before.
    pub(super) fn push(&self, pods: &[Pod]) -> Push {
        let sequence = self.sequence.replace(self.sequence.get() + 1);
        let time = u64::try_from(self.envoy.now().as_millis()).unwrap();
        Push { time, sequence, ..Push::of(pods) }
    }

    /// Has a worker take a good push.
    pub(super) fn pods(&self, pods: &[Pod]) {
        let push = self.push(pods);
        let stream = self.ingest(0, &push.headers(), &push.body);
        assert_eq!(stream.status(), Some(204), "{:?}", stream.response());
    }

    /// Posts to the ingest.
    pub(super) fn ingest(&self, worker: usize, headers: &[(&str, String)], body: &[u8]) -> Stream {
        let worker = self.envoy.worker(worker).through("ingest").unwrap();
        worker.post("/v1/snapshot", headers, body)
    }

    /// Posts a chat request.
    pub(super) fn chat(&self, worker: usize, prompt: &str) -> Stream {
        self.chat_with(worker, &[] as &[(&str, &str)], prompt)
    }

    /// Posts a chat request with headers.
    pub(super) fn chat_with(
        &self,
        worker: usize,
        headers: impl Into<HeaderMap>,
        prompt: &str,
    ) -> Stream {
        self.envoy.worker(worker).post(CHAT, headers, &chat_body(prompt))
    }

    /// Where a request was sent, best first, as Envoy is told in this world's way.
    pub(super) fn destinations(&self, stream: &Stream) -> Option<String> {
        let sent = stream.sent()?;
        let header = sent.headers.text(DESTINATION).map(str::to_owned);
        let property = sent.properties.get("llm-picker-destination").cloned();
        let property = property.map(|value| String::from_utf8(value).unwrap());
        let state = "envoy.network.transport_socket.original_dst_address";
        let state = sent.filter_state.get(state).cloned();
        let (used, unused) = match self.way.destination() {
            Destination::Header => (header, [property, state]),
            Destination::Property => (property, [header, state]),
            Destination::FilterState => (state, [header, property]),
        };
        assert_eq!(unused, [None, None], "{:?}: told in two ways", self.way);
        used
    }

    /// The pod that a request was sent to first.
    #[track_caller]
    pub(super) fn pod(&self, stream: &Stream) -> Pod {
        let list = self.destinations(stream);
        let list = list.unwrap_or_else(|| panic!("not sent: {:?}", stream.response()));
        Pod::at(list.split(',').next().unwrap())
    }

    /// Requests and prompt tokens in flight on an endpoint, by what the workers agree on.
    pub(super) fn in_flight(&self, endpoint: &str) -> (u32, u32) {
        let bytes =
            self.envoy.shared_data(&wire::layout::key("default", "ledger")).unwrap_or_default();
        let endpoint: SocketAddr = endpoint.parse().unwrap();
        let account = wire::ledger::decode(&bytes).accounts.for_endpoint(endpoint.into());
        (account.requests, account.tokens)
    }

    /// The decision header of the answer that a sent request now gets.
    pub(super) fn decision(stream: &Stream) -> String {
        stream.respond(200, &[] as &[(&str, &str)], b"{}");
        let response = stream.response().unwrap();
        response.headers.text("x-llm-picker-decision").unwrap().to_owned()
    }

    /// The value of a counter, over all workers.
    pub(super) fn counter(&self, name: &str) -> u64 {
        match self.envoy.metric(name) {
            Some(Metric::Counter(count)) => count,
            other => panic!("{name} is no counter: {other:?}"),
        }
    }

    /// Nothing died, and nobody complained.
    #[track_caller]
    pub(super) fn is_well(&self) {
        for worker in 0..WORKERS {
            assert_eq!(self.envoy.worker(worker).failure(), None, "worker {worker}");
        }
        let logs = self.envoy.logs();
        assert!(logs.iter().all(|line| line.level < Level::Error), "{logs:#?}");
    }
}

/// An Envoy with no plugin yet.
pub(super) fn builder() -> Builder {
    Envoy::builder(&MODULE)
        .workers(WORKERS)
        .vm_id("llm-picker")
        .env("LLM_PICKER_SECRET", SECRET)
        .cluster("scraper")
        .cluster("outbound|9091||scraper.llm-d.svc.cluster.local")
        .property("source.address", "192.0.2.7:4711")
        .property("xds.cluster_name", "models")
        .buffer_limit(BUFFER_LIMIT)
        .late_part(LatePart::Repeated)
}

/// A chat request of one message.
pub(super) fn chat_body(prompt: &str) -> Vec<u8> {
    let message = json!({"role": "user", "content": prompt});
    json!({"model": "tiny", "messages": [message]}).to_string().into_bytes()
}

/// A prompt of some 20 blocks; those about different topics share no block.
pub(super) fn about(topic: &str) -> String {
    format!("Tell me more about {topic}. ").repeat(200)
}

/// The configuration's `envoy` for a way.
fn settings(way: Way) -> Value {
    json!({"hold": way.hold().name(), "destination": way.destination().name()})
}

fn merge(config: &mut Value, keys: &Value) {
    match (config, keys) {
        (Value::Object(config), Value::Object(keys)) => {
            for (key, value) in keys {
                merge(config.entry(key).or_insert(Value::Null), value);
            }
        }
        (config, keys) => *config = keys.clone(),
    }
}
