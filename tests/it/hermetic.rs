//! The EPP's own hermetic tests (llm-d-router, `hermetic_test.go`), row by row: what is asked, of which pods, and what comes
//! of it. Told by the mock and by a real Envoy alike.

use std::net::SocketAddr;

use picker_core::{Adapters, Endpoint, Health, Incarnation, Metrics};
use serde_json::{Value, json};

/// A request, and what becomes of it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pods: &'static [State],
    /// The numbers of the pods that it may go to, the first being 1; of one that is not there if 99.
    subset: &'static [usize],
    headers: &'static [(&'static str, &'static str)],
    /// The body in the parts in which it comes; a GET without any.
    pub(crate) parts: &'static [&'static str],
    pub(crate) outcome: Outcome,
}

/// What a request comes to.
pub(crate) enum Outcome {
    /// It goes to the pod of that number, for this model if it names one.
    Pod(usize, &'static str),
    /// Status, dropped reason and message.
    Refused(u16, Option<&'static str>, &'static str),
}

/// How a pod is, as its metrics say.
struct State {
    waiting: u32,
    kv_usage: f32,
    /// There is room for two.
    adapters: &'static [&'static str],
}

const fn pod(waiting: u32, kv_usage: f32, adapters: &'static [&'static str]) -> State {
    State { waiting, kv_usage, adapters }
}

const SQL: &str = "sql-lora-1fdg2";
const REWRITE: &str = "x-llm-d-model-name-rewrite";
const SUBSET: &str = "x-gateway-destination-endpoint-subset";
const OBJECTIVE: &str = "x-llm-d-inference-objective";
const TO_SQL: &[(&str, &str)] = &[(OBJECTIVE, "sql-lora"), (REWRITE, SQL)];
const NO_JSON: &str =
    "error unmarshaling request bodyMap: invalid character 'o' in literal null (expecting 'u')";

/// By the default profile of those tests: queue, KV cache, prefix and LoRA, each once.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "select lora despite higher kv cache (affinity)",
        pods: &[pod(10, 0.2, &["foo", "bar"]), pod(10, 0.4, &["foo", SQL]), pod(10, 0.3, &["foo"])],
        parts: &[r#"{"max_tokens":100,"model":"sql-lora","prompt":"test3","temperature":0}"#],
        outcome: Outcome::Pod(2, SQL),
        ..Row::NONE
    },
    Row {
        name: "do not shed requests by default",
        pods: &[pod(6, 0.2, &["foo", SQL]), pod(0, 0.85, &["foo"]), pod(10, 0.9, &["foo"])],
        parts: &[r#"{"max_tokens":100,"model":"sql-lora","prompt":"test4","temperature":0}"#],
        outcome: Outcome::Pod(1, SQL),
        ..Row::NONE
    },
    Row {
        name: "invalid json body",
        pods: &[pod(0, 0.2, &["foo", "bar"])],
        headers: &[("hi", "mom")],
        parts: &["no healthy upstream"],
        outcome: Outcome::Refused(400, None, NO_JSON),
        ..Row::NONE
    },
    Row {
        name: "split body across chunks",
        pods: &[pod(4, 0.2, &["foo", SQL]), pod(4, 0.85, &["foo", SQL])],
        headers: &[(OBJECTIVE, "sql-lora-sheddable"), (REWRITE, SQL)],
        parts: &[
            r#"{"max_tokens":100,"model":"sql-lo"#,
            r#"ra-sheddable","prompt":"test6","temperature":0}"#,
        ],
        outcome: Outcome::Pod(1, SQL),
        ..Row::NONE
    },
    // The EPP answers 500 where there is no body: that is a difference, see docs/parity.md.
    Row {
        name: "no backend pods available",
        headers: &[],
        outcome: Outcome::Refused(
            503,
            Some("rejected-no-endpoints"),
            "failed to find endpoint candidates for serving the request",
        ),
        ..Row::NONE
    },
    // The EPP answers 400: engines take it for the model that they serve. See docs/parity.md.
    Row {
        name: "request missing model field",
        pods: &[pod(0, 0.2, &["foo"])],
        headers: &[],
        parts: &[r#"{"prompt":"hello world"}"#],
        outcome: Outcome::Pod(1, ""),
        ..Row::NONE
    },
    Row {
        name: "subsetting: select best from subset",
        pods: &[pod(0, 0.2, &["foo"]), pod(0, 0.1, &["foo", SQL]), pod(10, 0.2, &["foo"])],
        subset: &[1, 2, 3],
        parts: &[r#"{"max_tokens":100,"model":"sql-lora","prompt":"test21","temperature":0}"#],
        outcome: Outcome::Pod(2, SQL),
        ..Row::NONE
    },
    Row {
        name: "subsetting: partial match",
        pods: &[pod(0, 0.2, &["foo"]), pod(0, 0.1, &["foo", SQL]), pod(10, 0.2, &["foo"])],
        subset: &[3],
        parts: &[r#"{"max_tokens":100,"model":"sql-lora","prompt":"test22","temperature":0}"#],
        outcome: Outcome::Pod(3, SQL),
        ..Row::NONE
    },
    Row {
        name: "subsetting: no pods match",
        pods: &[pod(0, 0.2, &["foo"]), pod(0, 0.1, &["foo", SQL])],
        subset: &[99],
        parts: &[r#"{"max_tokens":100,"model":"sql-lora","prompt":"test23","temperature":0}"#],
        outcome: Outcome::Refused(
            503,
            Some("rejected-no-endpoints"),
            "failed to find endpoint candidates for serving the request",
        ),
        ..Row::NONE
    },
    Row {
        name: "passthrough: model not in objectives",
        pods: &[pod(4, 0.2, &["foo", "bar"])],
        headers: &[(OBJECTIVE, "direct-model"), (REWRITE, "direct-model")],
        parts: &[
            r#"{"max_tokens":100,"model":"direct-"#,
            r#"model","prompt":"test6","temperature":0}"#,
        ],
        outcome: Outcome::Pod(1, "direct-model"),
        ..Row::NONE
    },
    Row {
        name: "rewrite request model",
        pods: &[pod(0, 0.1, &["foo", "rewritten-model"])],
        headers: &[],
        parts: &[
            r#"{"max_tokens":100,"model":"model-to-be-rewritten","prompt":"test","temperature":0}"#,
        ],
        outcome: Outcome::Pod(1, "rewritten-model"),
        ..Row::NONE
    },
    Row {
        name: "protocol: simple GET (header only)",
        pods: &[pod(0, 0.0, &["foo"])],
        headers: &[],
        outcome: Outcome::Pod(1, ""),
        ..Row::NONE
    },
];

/// With a configuration of its own: what is no JSON goes by load.
pub(crate) const PASSTHROUGH: Row = Row {
    name: "passthrough parser success",
    pods: &[pod(3, 0.2, &[]), pod(0, 0.1, &[]), pod(10, 0.2, &[])],
    headers: &[("hi", "mom"), (OBJECTIVE, "sql-lora")],
    parts: &["passthrough-parser"],
    outcome: Outcome::Pod(2, ""),
    ..Row::NONE
};

/// Two pods behind which much waits.
pub(crate) const BUSY: Row = Row { pods: &[pod(50, 0.9, &[]), pod(50, 0.9, &[])], ..Row::NONE };

/// Those of the tests' default configuration.
pub(crate) fn config() -> Value {
    let names = [
        "queue-scorer",
        "kv-cache-utilization-scorer",
        "prefix-cache-scorer",
        "lora-affinity-scorer",
    ];
    let rule = json!({
        "matches": [{"model": {"value": "model-to-be-rewritten"}}], "targets": [{"modelRewrite": "rewritten-model"}],
    });
    json!({
        "apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig",
        "plugins": names.map(|name| json!({"type": name})),
        "schedulingProfiles": [{"name": "default", "plugins": names.map(|name| json!({"pluginRef": name}))}],
        "objectives": [{"name": "sql-lora", "priority": 2}, {"name": "direct-model", "priority": 2}],
        "identity": trusting(),
        "modelRewrites": [{"name": "rewrite", "rules": [rule]}],
    })
}

pub(crate) fn passthrough() -> Value {
    let names = ["queue-scorer", "kv-cache-utilization-scorer", "passthrough-parser"];
    let profile =
        ["queue-scorer", "kv-cache-utilization-scorer"].map(|name| json!({"pluginRef": name}));
    json!({
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig",
        "plugins": names.map(|name| json!({"type": name})),
        "schedulingProfiles": [{"name": "default", "plugins": profile}],
        "requestHandler": {"parsers": [{"pluginRef": "passthrough-parser"}]},
        "identity": trusting(),
    })
}

/// The EPP believes the headers of its rows, as the gateway in front of it writes them.
fn trusting() -> Value {
    json!({"trusted": [REWRITE, SUBSET]})
}

impl Row {
    /// What most rows have: sent to a LoRA adapter by a header, and nothing else.
    const NONE: Self = Self {
        name: "",
        pods: &[],
        subset: &[],
        headers: TO_SQL,
        parts: &[],
        outcome: Outcome::Refused(0, None, ""),
    };

    /// Where it is asked, which is what the EPP takes for granted.
    pub(crate) const PATH: &'static str = "/v1/completions";

    /// Its pods at these addresses.
    pub(crate) fn endpoints(&self, addresses: &[SocketAddr]) -> Vec<Endpoint> {
        let at = |(state, address): (&State, &SocketAddr)| state.endpoint(*address);
        self.pods.iter().zip(addresses).map(at).collect()
    }

    /// Its headers, with the subset of these addresses.
    pub(crate) fn headers(&self, addresses: &[SocketAddr]) -> Vec<(&'static str, String)> {
        let mut headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let address = |number: &usize| {
            addresses
                .get(number - 1)
                .map_or_else(|| "192.0.2.99:8000".to_owned(), ToString::to_string)
        };
        let subset: Vec<String> = self.subset.iter().map(address).collect();
        if !subset.is_empty() {
            headers.push((SUBSET, subset.join(",")));
        }
        headers
    }
}

impl State {
    fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let running = self.adapters.iter().map(|name| (*name).to_owned()).collect();
        let adapters = Adapters { max: 2, running, waiting: Vec::new() };
        let metrics = Metrics::default().waiting(self.waiting).kv_usage(self.kv_usage);
        let metrics = metrics.adapters(adapters);
        Endpoint {
            address,
            health: Health::Up,
            metrics: Some(metrics),
            labels: Vec::new(),
            incarnation: Incarnation::default(),
        }
    }
}

/// What a pod answers, in the parts in which it comes, and which of it must pass as it is.
pub(crate) const ANSWERS: &[(&str, &str, &[&str])] = &[
    (
        "response buffering: multi-chunk JSON",
        "application/json",
        &[
            r#"{"max_tokens":100,"model":"sql-lo"#,
            r#"ra-sheddable","prompt":"test6","temperature":0}"#,
        ],
    ),
    ("response buffering: invalid JSON", "application/json", &["no healthy upstream"]),
    (
        "response buffering: empty EOS chunk (JSON)",
        "application/json",
        &[
            r#"{"max_tokens":100,"model":"sql-lora-sheddable","prompt":"test6","temperature":0}"#,
            "",
        ],
    ),
    (
        "response streaming: SSE token counting",
        "text/event-stream",
        &[
            "data: {}",
            "\ndata: {\"usage\":{\"prompt_tokens\":7,\"total_tokens\":17,\"completion_tokens\":10}}\ndata: [DONE]",
            "",
        ],
    ),
];
