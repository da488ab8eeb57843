//! Gateways that take part in the exchange in another way than the others, or not at all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    cell::RefCell,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use stack::Stack;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use wire::exchange::EXCHANGE_HEADER;

use super::{EXCHANGED, TOPICS, knows, pods, prompt};
use crate::envoy::{client::chat, pull, world};

/// Waits until the second gateway finds what the first has placed. Each try is about another topic, as the second
/// learns by its own requests too.
async fn second_finds_what_the_first_placed(stack: &Stack) {
    let gateways = stack.gateways();
    let topics = RefCell::new(0..TOPICS);
    world::until(async || {
        let topic = topics.borrow_mut().next().unwrap();
        assert_eq!(chat(gateways[0], &prompt(topic)).await.status, 200);
        sleep(EXCHANGED).await;
        knows(gateways[1], topic..topic + 1).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn gateways_that_fetch_their_snapshots_pick_as_one() {
    let port = pull::free_port();
    let plugin = json!({"failureMode": "FailClose", "pull": {"cluster": "scraper"}});
    let builder = pods(world::stack()).plugin(plugin).without_scraper();
    let builder = builder.template(pull::template(port)).gateways(2);
    world::tell(builder, async |stack| {
        let _scraper = pull::Scraper::of_pool("default", stack, port);
        for gateway in stack.gateways() {
            world::until(async || (chat(gateway, "now?").await.status == 200).then_some(())).await;
        }
        second_finds_what_the_first_placed(stack).await;
    })
    .await;
}

/// A scraper that pushes to these ingests; killed when dropped.
struct Pusher(Child);

impl Pusher {
    fn start(stack: &Stack, ingests: &[SocketAddr]) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/llm-scraper");
        let mut command = Command::new(program);
        command.args(["--pool", "default", "--interval", "50ms", "--listen", "127.0.0.1:0"]);
        let ingests =
            ingests.iter().map(|ingest| ["--envoy".to_owned(), format!("http://{ingest}")]);
        let pods = stack.pods.iter().map(|pod| ["--endpoint".to_owned(), pod.addr.to_string()]);
        command.args(ingests.chain(pods).flatten());
        command.env("LLM_PICKER_SECRET", &stack.secret).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address before an ingest at which the question for the exchange gets lost on every push, so that the gateway
/// answers as one of before the exchange: without a report.
async fn before_the_exchange(ingest: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((scraper, _)) = listener.accept().await {
            let envoy = TcpStream::connect(ingest).await.unwrap();
            tokio::spawn(relay(scraper, envoy));
        }
    });
    address
}

async fn relay(scraper: TcpStream, envoy: TcpStream) {
    let (mut asks, mut told) = scraper.into_split();
    let (mut answers, mut takes) = envoy.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut told).await });
    let (asked, other) = (EXCHANGE_HEADER, EXCHANGE_HEADER.replacen('x', "y", 1));
    let mut bytes = vec![0; 1 << 16];
    // A push is written at once, and on loopback read so.
    while let Ok(read @ 1..) = asks.read(&mut bytes).await {
        let found = bytes[..read].windows(asked.len()).position(|it| it == asked.as_bytes());
        if let Some(at) = found {
            bytes[at..at + other.len()].copy_from_slice(other.as_bytes());
        }
        if takes.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Each serves as it does without an exchange, and learns by itself what pods have cached.
#[tokio::test]
async fn a_gateway_of_before_and_a_new_one_serve_side_by_side() {
    world::tell(pods(world::stack()).without_scraper().gateways(2), async |stack| {
        let ingests = stack.ingests();
        let old = before_the_exchange(ingests[0]).await;
        let _scraper = Pusher::start(stack, &[old, ingests[1]]);
        let gateways = stack.gateways();
        for gateway in &gateways {
            world::until(async || {
                chat(*gateway, "now?").await.decision("prefix-hit").is_some().then_some(())
            })
            .await;
        }
        for (gateway, topics) in gateways.into_iter().zip([0..4, 4..8]) {
            for topic in topics.clone() {
                assert_eq!(chat(gateway, &prompt(topic)).await.status, 200);
            }
            sleep(EXCHANGED).await;
            assert!(knows(gateway, topics).await, "what it placed itself");
        }
        assert!(!knows(stack.gateways()[1], 0..4).await, "the other tells nothing");
    })
    .await;
}
