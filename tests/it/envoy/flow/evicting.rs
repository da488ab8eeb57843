//! Requests that end while they run, as a more important one finds no room.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    crowd::{Client, gate, is_quiet, pods},
    pod::PatientPod,
};
use crate::envoy::{client::chat_body, upstream, world, world::tell};

/// Places of the pool.
const PLACES: u32 = 4;

fn evicting(pod: std::net::SocketAddr, places: u32) -> stack::Builder {
    let plugin = gate(places, &json!({"enableEviction": true}));
    world::stack().workers(4).upstreams(vec![pod]).without_scraper().plugin(plugin)
}

#[tokio::test]
async fn urgent_requests_take_the_places_of_sheddable_ones() {
    let pod = PatientPod::start().await;
    tell(evicting(pod.address, PLACES), async |stack| {
        pods(stack, 1, &[pod.address]).await;
        let low = Client { name: "low", objective: "low", ..Client::default() };
        let high = Client { name: "high", objective: "high", ..Client::default() };
        let places = usize::try_from(PLACES).unwrap();
        let running = low.ask_times(stack, places);
        let mut abandoned = Vec::new();
        for _ in 0..places {
            abandoned.push(pod.next().await);
        }
        let urgent = high.ask_times(stack, places);
        for reply in running {
            let reply = reply.await.unwrap();
            let reason = reply.header("x-llm-d-request-dropped-reason");
            assert_eq!((reply.status, reason), (429, Some("evicted")), "{reply:?}");
        }
        assert_eq!(pod.answer_next(places).await, vec!["high"; places]);
        for reply in urgent {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        is_quiet(stack, &pod).await;
    })
    .await;
}

/// The bytes of a request for a stream, by a client of the band below all.
fn sheddable() -> String {
    let body = chat_body("hello");
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nx-llm-d-inference-objective: low\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_stream_that_has_begun_ends_without_an_end() {
    let (pod, say) = upstream::streams_on_command().await;
    let say = Cell::new(Some(say));
    tell(evicting(pod, 1), async |stack| {
        pods(stack, 1, &[pod]).await;
        let say = say.take().unwrap();
        let mut low = TcpStream::connect(stack.gateway).await.unwrap();
        low.write_all(sheddable().as_bytes()).await.unwrap();
        say.send("{\"choices\":[{\"delta\":{\"content\":\"word\"}}]}").await.unwrap();
        let mut told = Vec::new();
        while !String::from_utf8_lossy(&told).contains("word") {
            assert_ne!(low.read_buf(&mut told).await.unwrap(), 0);
        }
        let urgent = Client { name: "high", objective: "high", ..Client::default() }.ask(stack);
        while let Ok(1..) = low.read_buf(&mut told).await {}
        let told = String::from_utf8_lossy(&told);
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(!told.ends_with("0\r\n\r\n"), "{told}");
        drop(say);
        assert_eq!(urgent.await.unwrap().status, 200);
    })
    .await;
}
