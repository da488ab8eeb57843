//! Clients that ask all at once, and a pool that takes one request a pod.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::SocketAddr;

use serde_json::{Value, json};
use stack::{Builder, Stack};
use tokio::task::JoinHandle;

use super::pod::{PatientPod, WHO};
use crate::envoy::{
    client::{Reply, chat_with},
    push, world,
};

/// Workers of every story here.
const WORKERS: usize = 4;

/// A stack whose pool takes one request a pod, and these keys of `flowControl`.
pub(super) fn gated(pods: &[SocketAddr], flow: &Value) -> Builder {
    world::stack().workers(WORKERS).upstreams(pods.to_vec()).without_scraper().plugin(gate(1, flow))
}

/// The plugin's configuration for a pool that takes so many requests a pod.
pub(super) fn gate(places: u32, flow: &Value) -> Value {
    let mut section = json!({
        "saturationDetector": {"pluginRef": "concurrency-detector"},
        "defaultPriorityBand": {"fairnessPolicyRef": "round-robin-fairness-policy"},
    });
    section.as_object_mut().unwrap().extend(flow.as_object().unwrap().clone());
    json!({
        "featureGates": ["flowControl"],
        "plugins": [
            {"type": "queue-scorer"},
            {"type": "max-score-picker"},
            {"type": "single-profile-handler"},
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": places}},
            {"type": "round-robin-fairness-policy"},
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "queue-scorer"}]}],
        "flowControl": section,
        "objectives": [{"name": "high", "priority": 100}, {"name": "low", "priority": -1}],
    })
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) tenant: &'static str,
    pub(super) objective: &'static str,
    pub(super) ttl: &'static str,
}

impl Client {
    pub(super) fn named(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Asks over a connection of its own, which any worker may get.
    pub(super) fn ask(self, stack: &Stack) -> JoinHandle<Reply> {
        self.ask_at(stack.gateway)
    }

    /// The same at another gateway than the stack's first.
    pub(super) fn ask_at(self, gateway: SocketAddr) -> JoinHandle<Reply> {
        let headers = [
            (WHO, self.name),
            ("x-llm-d-inference-fairness-id", self.tenant),
            ("x-llm-d-inference-objective", self.objective),
            ("x-llm-d-inference-ttl", self.ttl),
        ];
        tokio::spawn(async move {
            let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
            let headers: Vec<_> = headers.map(|(name, value)| (name, value.to_owned())).collect();
            chat_with(gateway, "hello", &headers).await
        })
    }

    pub(super) fn ask_times(self, stack: &Stack, times: usize) -> Vec<JoinHandle<Reply>> {
        (0..times).map(|_| self.ask(stack)).collect()
    }
}

/// Pushes these pods, as the snapshot of that number.
pub(super) async fn pods(stack: &Stack, sequence: u64, pods: &[SocketAddr]) {
    push::snapshot(stack, sequence, pods).await;
}

/// Waits until that many requests are held, by flow control's own word.
pub(super) async fn until_held(stack: &Stack, count: u64) {
    world::until(async || (push::held(stack).await == count).then_some(())).await;
}

/// How long a served request was held, in milliseconds.
pub(super) fn waited(reply: &Reply) -> u64 {
    reply.header("x-llm-d-flow-queue-duration-ms").unwrap().parse().unwrap()
}

/// Nobody waits, and nothing is counted that is not there: the next one goes at once.
pub(super) async fn is_quiet(stack: &Stack, pod: &PatientPod) {
    assert!(pod.is_idle().await);
    until_held(stack, 0).await;
    // An answer's last byte is with its client before Envoy is done with the stream.
    world::until(async || (world::active_requests(stack).await == 0).then_some(())).await;
    let mut last = Client::named("last").ask(stack);
    let arrived = tokio::select! {
        arrived = pod.next() => arrived,
        reply = &mut last => panic!("the last one was answered without a pod: {:?}", reply.unwrap()),
    };
    assert_eq!(arrived.who, "last");
    arrived.answer();
    let reply = last.await.unwrap();
    assert_eq!((reply.status, waited(&reply)), (200, 0), "{reply:?}");
}
