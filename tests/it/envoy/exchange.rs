//! Several real Envoys as one, over the same pods and with one scraper.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, and says where it was"
)]

mod mixed;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stack::{Builder, Stack};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    client::{Reply, chat, post},
    world,
};

/// Time in which all gateways have what one did: its report goes up with the next push, which is at most 250 ms away
/// where all was quiet, and down with the one after it.
const EXCHANGED: Duration = Duration::from_millis(500);

const TOPICS: usize = 16;

fn prompt(topic: usize) -> String {
    format!("Tell me more about topic {topic}, and leave nothing out. ").repeat(60)
}

/// The status page's data.
async fn page(stack: &Stack) -> Value {
    let page = stack::get(stack.status.unwrap(), "/api/v1/status").await.unwrap();
    serde_json::from_str(&page.body).unwrap()
}

/// Waits until the page says that so many gateways are in step.
async fn in_step(stack: &Stack, gateways: usize) {
    world::until(async || {
        let said = page(stack).await["step"].as_str().unwrap_or_default().to_owned();
        said.starts_with(&format!("{gateways} gateways are in step")).then_some(())
    })
    .await;
}

/// Asks about every topic once in each of three rounds, at one gateway after the other. Returns the share of the
/// prompts' tokens that the pods had cached.
async fn cached_share(stack: &Stack) -> f64 {
    let gateways = stack.gateways();
    let (mut cached, mut all) = (0.0, 0.0);
    for round in 0..3 {
        for topic in 0..TOPICS {
            let gateway = gateways[(topic + round) % gateways.len()];
            let reply = chat(gateway, &prompt(topic)).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let usage: Value = serde_json::from_str(&reply.body).unwrap();
            let tokens = |path| usage.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
            cached += tokens("/usage/prompt_tokens_details/cached_tokens");
            all += tokens("/usage/prompt_tokens");
        }
        sleep(EXCHANGED).await;
    }
    cached / all
}

fn pods(builder: Builder) -> Builder {
    builder.endpoints(4)
}

#[tokio::test]
async fn two_gateways_find_what_pods_have_cached_as_one_does() {
    let mut shares = Vec::new();
    for gateways in [1, 2] {
        let mut stack = pods(world::stack()).gateways(gateways).start().await.unwrap();
        if gateways > 1 {
            in_step(&stack, gateways).await;
        }
        shares.push(cached_share(&stack).await);
        stack.ensure_envoy().unwrap();
    }
    let (one, two) = (shares[0], shares[1]);
    assert!(one > 0.6 && (one - two).abs() <= 0.02, "one gateway: {one}, two: {two}");
}

/// True if the gateway knows of these topics which pods have them.
async fn knows(gateway: SocketAddr, topics: std::ops::Range<usize>) -> bool {
    for topic in topics {
        let reply = chat(gateway, &prompt(topic)).await;
        let hit = reply.decision("prefix-hit").and_then(|hit| hit.parse::<f64>().ok());
        if hit.is_none_or(|hit| hit < 0.9) {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_gateway_that_restarts_is_warm_within_a_second() {
    let story = async |stack: &mut Stack| {
        in_step(stack, 2).await;
        for topic in 0..TOPICS {
            chat(stack.gateways()[topic % 2], &prompt(topic)).await;
        }
        sleep(EXCHANGED).await;
        // What comes meanwhile goes to the other gateway, none of it in vain.
        let other = stack.gateways()[0];
        let load = tokio::spawn(async move {
            for topic in (0..TOPICS).cycle().take(20 * TOPICS) {
                assert_eq!(chat(other, &prompt(topic)).await.status, 200);
                sleep(Duration::from_millis(5)).await;
            }
        });
        stack.restart_gateway(1).await.unwrap();
        let (_, admin) = stack.admins()[1];
        world::until(async || has_snapshot(admin).await.then_some(())).await;
        sleep(Duration::from_secs(1)).await;
        // Each topic is asked once, so that the gateway does not learn it by itself.
        assert!(knows(stack.gateways()[1], 0..TOPICS).await);
        load.await.unwrap();
    };
    world::tell(pods(world::stack()).gateways(2), story).await;
}

/// Has a response made at the gateway. Returns its name, and the pod that made it.
async fn response(gateway: SocketAddr, input: &str, previous: Option<&str>) -> (String, String) {
    let mut body = json!({"model": "tiny", "max_output_tokens": 16, "input": input});
    if let Some(previous) = previous {
        body["previous_response_id"] = json!(previous);
    }
    let reply = post(gateway, "/v1/responses", &[], body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let made: Value = serde_json::from_str(&reply.body).unwrap();
    let pod = reply.decision("endpoint").unwrap().to_owned();
    (made["id"].as_str().unwrap().to_owned(), pod)
}

/// What one gateway had made, any gateway goes on from, also one that has started since: only the pod that made it
/// has it, and another answers 404.
#[tokio::test]
async fn what_one_gateway_had_made_others_go_on_from() {
    let story = async |stack: &mut Stack| {
        in_step(stack, 2).await;
        let gateway = stack.gateways()[0];
        // At once, so that more than one pod gets some.
        let make = |topic| async move { response(gateway, &prompt(topic), None).await };
        let mut making: tokio::task::JoinSet<_> = (0..TOPICS).map(make).collect();
        let mut made = Vec::new();
        while let Some(one) = making.join_next().await {
            made.push(one.unwrap());
        }
        let by: std::collections::BTreeSet<&str> =
            made.iter().map(|(_, pod)| pod.as_str()).collect();
        assert!(by.len() > 1, "{made:?}");
        sleep(EXCHANGED).await;
        let (before, after) = made.split_at(TOPICS / 2);
        // Nothing else than the name tells where to.
        for (name, pod) in before {
            assert_eq!(response(stack.gateways()[1], "and?", Some(name)).await.1, *pod);
        }
        stack.restart_gateway(1).await.unwrap();
        let (_, admin) = stack.admins()[1];
        world::until(async || has_snapshot(admin).await.then_some(())).await;
        sleep(Duration::from_secs(1)).await;
        for (name, pod) in after {
            assert_eq!(response(stack.gateways()[1], "and?", Some(name)).await.1, *pod);
        }
    };
    world::tell(pods(world::stack()).gateways(2), story).await;
}

/// True if the Envoy with this admin address has taken a snapshot since it started.
async fn has_snapshot(admin: SocketAddr) -> bool {
    let path = "/stats?filter=^http.ingest.downstream_rq_2xx$";
    let stats = stack::get(admin, path).await.unwrap().body;
    stats
        .trim()
        .rsplit(' ')
        .next()
        .and_then(|count| count.parse().ok())
        .is_some_and(|it: u64| it > 0)
}

/// A pod that answers after a while, and knows how many requests were ever there at once, over all pods that
/// count together.
#[derive(Clone, Default)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowd {
    async fn pod(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crowd = self.clone();
        tokio::spawn(async move {
            let own = Arc::new(AtomicUsize::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(crowd.clone().serve(stream, Arc::clone(&own)));
            }
        });
        address
    }

    /// Serves a connection. Metrics say what runs on this pod.
    async fn serve(self, mut stream: TcpStream, own: Arc<AtomicUsize>) {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text.starts_with("GET") && text.ends_with("\r\n\r\n") {
                let running = own.load(Ordering::SeqCst);
                let body = format!(
                    "vllm:num_requests_waiting 0\nvllm:num_requests_running {running}\n\
                     vllm:kv_cache_usage_perc 0\n"
                );
                answer(&mut stream, "text/plain", &body).await;
                bytes.clear();
            } else if text.starts_with("POST")
                && (text.ends_with('}') || text.ends_with("0\r\n\r\n"))
            {
                own.fetch_add(1, Ordering::SeqCst);
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                sleep(Duration::from_millis(40)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                own.fetch_sub(1, Ordering::SeqCst);
                answer(&mut stream, "application/json", "{}").await;
                bytes.clear();
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, kind: &str, body: &str) {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap_or(());
}

/// Requests that the pool takes at once, three a pod.
const LIMIT: usize = 6;

fn gate() -> Value {
    json!({
        "featureGates": ["flowControl"],
        "plugins": [
            {"type": "queue-scorer"},
            {"type": "max-score-picker"},
            {"type": "single-profile-handler"},
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": LIMIT / 2}},
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    })
}

/// So many requests at once, at one gateway after the other.
fn ask(gateways: &[SocketAddr], requests: usize) -> Vec<JoinHandle<Reply>> {
    let one = |number: usize| {
        let gateway = gateways[number % gateways.len()];
        tokio::spawn(async move { chat(gateway, &format!("request {number}")).await })
    };
    (0..requests).map(one).collect()
}

async fn all_answered(requests: Vec<JoinHandle<Reply>>) {
    for request in requests {
        let reply = timeout(Duration::from_secs(30), request).await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

/// Waits until gateways have credit: a request waits for it.
async fn gateways_have_credit(stack: &Stack) {
    in_step(stack, stack.gateways().len()).await;
    all_answered(ask(&stack.gateways(), 4 * stack.gateways().len())).await;
}

#[tokio::test]
async fn four_gateways_keep_one_limit_and_answer_all() {
    let crowd = Crowd::default();
    let upstreams = vec![crowd.pod().await, crowd.pod().await];
    let builder = world::stack().upstreams(upstreams).plugin(gate()).gateways(4).workers(1);
    let mut stack = builder.start().await.unwrap();
    gateways_have_credit(&stack).await;
    crowd.most.store(0, Ordering::SeqCst);
    all_answered(ask(&stack.gateways(), 120)).await;
    let most = crowd.most.load(Ordering::SeqCst);
    assert!(most <= LIMIT, "{most} at once; allowed: {LIMIT}");
    assert!(most > LIMIT / 2, "no more than {most} at once: places are left empty");
    stack.ensure_envoy().unwrap();
}

/// Time after the start of a scraper within which gateways are in step again.
const RECOVERED: Duration = Duration::from_secs(1);

/// Time for which there is no scraper. `LLM_PICKER_AWAY_SECONDS` sets another one for a run by hand.
fn away() -> Duration {
    let set = std::env::var("LLM_PICKER_AWAY_SECONDS");
    Duration::from_secs(set.map_or(2, |seconds| seconds.parse().unwrap()))
}

#[tokio::test]
async fn without_the_scraper_no_limit_is_passed_and_no_request_lost() {
    let crowd = Crowd::default();
    let upstreams = vec![crowd.pod().await, crowd.pod().await];
    let story = async |stack: &mut Stack| {
        gateways_have_credit(stack).await;
        crowd.most.store(0, Ordering::SeqCst);
        let before = ask(&stack.gateways(), 30);
        stack.kill_scraper().await.unwrap();
        let during = ask(&stack.gateways(), 30);
        all_answered(before).await;
        all_answered(during).await;
        let away_until = Instant::now() + away();
        while Instant::now() < away_until {
            all_answered(ask(&stack.gateways(), 20)).await;
        }
        let back = ask(&stack.gateways(), 60);
        stack.start_scraper().await.unwrap();
        let started_at = Instant::now();
        in_step(stack, 2).await;
        assert!(started_at.elapsed() < RECOVERED, "{:?}", started_at.elapsed());
        all_answered(back).await;
        all_answered(ask(&stack.gateways(), 30)).await;
        let most = crowd.most.load(Ordering::SeqCst);
        assert!(most <= LIMIT, "{most} at once; allowed: {LIMIT}");
    };
    let builder = world::stack().upstreams(upstreams.clone()).plugin(gate()).gateways(2);
    world::tell(builder, story).await;
}

/// Time after the death of the scraper that ran the exchange within which the other one does.
const TAKEN_OVER: Duration = Duration::from_secs(5);

#[tokio::test]
async fn of_two_scrapers_the_other_takes_over_and_no_limit_is_passed() {
    let crowd = Crowd::default();
    let upstreams = vec![crowd.pod().await, crowd.pod().await];
    let story = async |stack: &mut Stack| {
        stack.add_scraper().await.unwrap();
        gateways_have_credit(stack).await;
        crowd.most.store(0, Ordering::SeqCst);
        stack.kill_scraper().await.unwrap();
        let killed_at = Instant::now();
        while !page(stack).await["step"]
            .as_str()
            .unwrap_or_default()
            .starts_with("2 gateways are in")
        {
            assert!(killed_at.elapsed() < TAKEN_OVER, "{}", page(stack).await["step"]);
            all_answered(ask(&stack.gateways(), 40)).await;
        }
        // Longer than a gateway remembers an exchange of which it hears nothing.
        while killed_at.elapsed() < TAKEN_OVER + Duration::from_secs(1) {
            all_answered(ask(&stack.gateways(), 40)).await;
        }
        let most = crowd.most.load(Ordering::SeqCst);
        assert!(most <= LIMIT, "{most} at once; allowed: {LIMIT}");
    };
    let builder = world::stack().upstreams(upstreams.clone()).plugin(gate()).gateways(2);
    world::tell(builder, story).await;
}
