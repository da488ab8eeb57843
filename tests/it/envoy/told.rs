//! The decision, told to operators: by the signed header, by an explanation, in access logs, spans and debug logs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where it was"
)]

use std::{
    cell::Cell,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use stack::{Builder, Destination, Hold, Stack, Template, Way};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    client::{Reply, chat_body, chat_with, post},
    world,
};

const OBJECTIVE: &str = "x-llm-d-inference-objective";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Runs the scraper's program, with the secret of this stack.
async fn scraper(stack: &Stack, args: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/llm-scraper");
    let mut command = Command::new(program);
    command.arg("--secret-file").arg(stack.secret_file()).args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A stack that tells clients nothing.
fn quiet(way: Way) -> Builder {
    world::stack().way(way).plugin(json!({"decisionHeader": false}))
}

#[tokio::test]
async fn operators_are_told_the_reasons_and_clients_are_not() {
    for way in [Way::STOP_ITERATION_HEADER, Way::BUFFER_FILTER_FILTER_STATE] {
        let story = async |stack: &mut Stack| {
            let prompt = "Where does this go? ".repeat(100);
            let first = chat_with(stack.gateway, &prompt, &[]).await;
            assert_eq!(first.header("x-llm-picker-decision"), None, "{way}");
            let pod = first.served_by();
            let header = text(&scraper(stack, &["debug-header"]).await);
            let (name, value) = header.trim().split_once(": ").unwrap();
            let told = chat_with(stack.gateway, &prompt, &[(name, value.to_owned())]).await;
            assert_eq!(told.decision("endpoint"), Some(&*pod.to_string()), "{way}: {told:?}");

            let body = stack.dir().join("body.json");
            fs::write(&body, chat_body(&prompt)).unwrap();
            let gateway = format!("http://{}", stack.gateway);
            let explain = ["explain", "--gateway", &gateway, body.to_str().unwrap()];
            let explained = text(&scraper(stack, &explain).await);
            let row = |endpoint: &str| {
                let line = explained.lines().find(|line| line.trim().starts_with(endpoint));
                line.unwrap_or_else(|| panic!("{way}: no {endpoint} in {explained}")).to_owned()
            };
            assert!(explained.contains(&format!("picked {pod} with ")), "{way}: {explained}");
            assert!(explained.contains("the gateway has 0 requests in flight and holds 0"));
            let cached =
                |row: &str| row.split("  ").filter(|it| !it.is_empty()).nth(4).map(str::to_owned);
            assert_ne!(cached(&row(&pod.to_string())).unwrap().trim(), "0", "{way}: {explained}");
            let served = stack.stats("http.gateway.downstream_rq_2xx").await.unwrap();
            assert!(served.trim().ends_with(": 3"), "{way}: it was sent nowhere: {served}");

            // Of another secret nothing holds: the request is served like any other.
            let other = stack.dir().join("other-secret");
            fs::write(&other, "a secret of another gateway").unwrap();
            let wrong = ["--secret-file", other.to_str().unwrap()];
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/llm-scraper");
            let refused = Command::new(program).args(wrong).args(explain).output().unwrap();
            let why = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && why.contains("served the request"), "{why}");
        };
        world::tell(quiet(way), story).await;
    }
}

/// The bootstrap of a way, with spans that go to this collector.
fn traced(way: Way, spans: SocketAddr) -> Template {
    let text = match (way.hold(), way.destination()) {
        (Hold::StopIteration, Destination::Header) => {
            include_str!("../../../envoy/local/stop-iteration-header.yaml")
        }
        (Hold::StopIteration, Destination::Property) => {
            include_str!("../../../envoy/local/stop-iteration-property.yaml")
        }
        (Hold::StopIteration, Destination::FilterState) => {
            include_str!("../../../envoy/local/stop-iteration-filter-state.yaml")
        }
        (Hold::BufferFilter, Destination::Property) => {
            include_str!("../../../envoy/local/buffer-filter-property.yaml")
        }
        (Hold::BufferFilter, Destination::FilterState | Destination::Header) => {
            include_str!("../../../envoy/local/buffer-filter-filter-state.yaml")
        }
    };
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": spans.port()}});
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
    let cluster = json!({
        "name": "spans", "type": "STATIC", "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": "spans", "endpoints": endpoints},
    });
    let provider = json!({
        "name": "envoy.tracers.zipkin",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
            "collector_cluster": "spans", "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON", "trace_context_option": "USE_B3_WITH_W3C_PROPAGATION",
        },
    });
    let (tracing, clusters) = ("          tracing:\n", "  clusters:\n");
    // Each span by itself and at once, and not five of them or those of five seconds.
    let (layers, at_once) =
        ("layers: [", "{name: spans, static_layer: {tracing.zipkin.min_flush_spans: 1}}, ");
    let bootstrap = text
        .replacen(layers, &format!("{layers}{at_once}"), 1)
        .replacen(tracing, &format!("{tracing}            provider: {provider}\n"), 1)
        .replacen(clusters, &format!("{clusters}  - {cluster}\n"), 1);
    Template { bootstrap, files: Vec::new() }
}

/// A collector of spans, which keeps them.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::default();
        let kept = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collect(stream, Arc::clone(&kept)));
            }
        });
        Self { address, spans }
    }

    /// The tags of the span of this trace, once it is there.
    async fn tags(&self, trace: &str) -> Value {
        world::until(async || {
            let spans = self.spans.lock().unwrap();
            let span = spans.iter().find(|span| span["traceId"] == trace);
            span.map(|span| span["tags"].clone())
        })
        .await
    }
}

/// Takes in what Envoy posts: one chunk of JSON each time.
async fn collect(mut stream: TcpStream, kept: Arc<Mutex<Vec<Value>>>) {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        let Some((_, chunk)) = body.split_once("\r\n") else { continue };
        let Some((spans, _)) = chunk.split_once("\r\n0\r\n") else { continue };
        let spans: Vec<Value> = serde_json::from_str(spans).unwrap();
        kept.lock().unwrap().extend(spans);
        bytes.clear();
        let answer = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap_or(());
    }
}

/// Has Envoy change something while it runs.
async fn admin(stack: &Stack, path: &str) {
    let (_, admin) = stack.admins()[0];
    let reply = post(admin, path, &[], "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A line of Envoy's log for which this holds.
async fn logged(stack: &Stack, holds: impl Fn(&str) -> bool) -> String {
    world::until(async || {
        let log = fs::read_to_string(stack.dir().join("envoy.log")).unwrap();
        log.lines().find(|line| holds(line)).map(str::to_owned)
    })
    .await
}

async fn ask(stack: &Stack) -> Reply {
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = [("traceparent", parent), (OBJECTIVE, "paid \"today\"".to_owned())];
    let reply = chat_with(stack.gateway, "Where?", &headers).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

#[tokio::test]
async fn access_logs_spans_and_debug_logs_have_the_decision_in_every_way() {
    let collector = Collector::start().await;
    for way in Way::ALL {
        let story = async |stack: &mut Stack| {
            collector.spans.lock().unwrap().clear();
            ask(stack).await;
            let asked = Cell::new(0);
            let log = async || fs::read_to_string(stack.dir().join("envoy.log")).unwrap();
            admin(stack, "/runtime_modify?llm_picker.access_log=100").await;
            admin(stack, "/logging?wasm=debug").await;
            // Workers look at the level with their next tick.
            let line = world::until(async || {
                asked.set(asked.get() + 1);
                let served = ask(stack).await.served_by();
                let told = format!("endpoint={served};");
                log()
                    .await
                    .lines()
                    .find(|line| line.contains(": endpoint=") && line.contains(&told))
                    .map(str::to_owned)
            })
            .await;
            assert!(line.contains(";model=tiny;"), "{way}: {line}");
            let entry = logged(stack, |line| line.starts_with('{') && line.contains("pool")).await;
            let entry: Value = serde_json::from_str(&entry).unwrap();
            let field = |name: &str| {
                entry[name]
                    .as_str()
                    .unwrap_or_else(|| panic!("{way}: {name} in {entry}"))
                    .to_owned()
            };
            assert_eq!(field("pool"), "default");
            assert_eq!(
                field("objective"),
                "paid__today_",
                "{way}: no quotation mark of a client's"
            );
            assert_eq!((field("priority"), field("wait_ms")), ("0".to_owned(), "0".to_owned()));
            assert_eq!(field("pod"), field("upstream"), "{way}: {entry}");
            assert_eq!(field("output_tokens"), "1", "{way}: {entry}");
            assert!(field("traceparent").contains(TRACE), "{way}: {entry}");
            let log = log().await;
            assert!(
                log.contains("llm-picker ") && log.contains("; pools: default"),
                "{way}: {log}"
            );
            let entries = log.lines().filter(|line| line.starts_with('{')).count();
            assert!(entries <= asked.get(), "{way}: {entries}, and the first is not among them");

            let tags = collector.tags(TRACE).await;
            assert_eq!(tags["llm_picker.pool"], "default", "{way}: {tags}");
            assert_eq!(tags["llm_picker.output_tokens"], "1", "{way}: {tags}");
            let pod: SocketAddr = tags["llm_picker.pod"].as_str().unwrap().parse().unwrap();
            assert!(stack.pods.iter().any(|it| it.addr == pod), "{way}: {tags}");
        };
        let builder = world::stack().template(traced(way, collector.address)).way(way);
        world::tell(builder, story).await;
    }
}
