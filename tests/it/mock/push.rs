//! A scraper in the test's hands: pods as they please, pushes signed or not quite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use picker_core::{
    Adapters, Endpoint, Health, Incarnation, Metrics, Model, ModelRewrite, Objective, Snapshot,
    flow::Priority,
};
use wire::push::{self, Secret, Stamp};

pub(super) const SECRET: &str = "thirty-two bytes of a shared key";

/// A pod, by the last number of its address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pod {
    pub(super) number: u8,
    pub(super) up: bool,
    /// What of its KV cache is used; `None` where it has no metrics.
    pub(super) kv_usage: Option<f32>,
    pub(super) waiting: u32,
    pub(super) running: u32,
    /// Of its metrics, when they are pushed.
    pub(super) age: Duration,
    /// Its stage in disaggregated serving.
    pub(super) role: Option<&'static str>,
    /// The LoRA adapter that runs there; there is room for another.
    pub(super) adapter: Option<&'static str>,
}

impl Pod {
    /// An idle one.
    pub(super) const fn idle(number: u8) -> Self {
        Self {
            number,
            up: true,
            kv_usage: Some(0.0),
            waiting: 0,
            running: 0,
            age: Duration::ZERO,
            role: None,
            adapter: None,
        }
    }

    /// The idle one with this address.
    pub(super) fn at(address: &str) -> Self {
        let number = address.strip_prefix("10.0.0.").and_then(|rest| rest.strip_suffix(":8000"));
        Self::idle(number.unwrap().parse().unwrap())
    }

    /// The idle ones from 1 to `count`.
    pub(super) fn idles(count: u8) -> Vec<Self> {
        (1..=count).map(Self::idle).collect()
    }

    pub(super) fn endpoint(self) -> Endpoint {
        let metrics = self.kv_usage.map(|kv_usage| Metrics {
            age: self.age,
            waiting: self.waiting,
            running: self.running,
            kv_usage,
            adapters: self.adapter.map(|name| Adapters {
                max: 2,
                running: vec![name.to_owned()],
                waiting: Vec::new(),
            }),
            ..Metrics::default()
        });
        let health = if self.up { Health::Up } else { Health::Down };
        let address = ([10, 0, 0, self.number], 8000).into();
        let role = self.role.map(|role| ("llm-d.ai/role".to_owned(), role.to_owned()));
        Endpoint {
            address,
            health,
            metrics,
            labels: role.into_iter().collect(),
            incarnation: Incarnation::default(),
        }
    }
}

/// One push, all of whose parts can be wrong.
#[derive(Clone, Debug)]
pub(super) struct Push {
    /// Unix time in milliseconds.
    pub(super) time: u64,
    pub(super) sequence: u64,
    pub(super) secret: &'static str,
    pub(super) body: Vec<u8>,
}

impl Push {
    /// Of these pods, at no time yet.
    pub(super) fn of(pods: &[Pod]) -> Self {
        Self::with_objectives(pods, &[])
    }

    /// Of these pods and these objectives, by ascending name.
    pub(super) fn with_objectives(pods: &[Pod], objectives: &[(&str, i32)]) -> Self {
        let objective = |&(name, priority): &(&str, i32)| Objective {
            name: name.to_owned(),
            priority: Priority(priority),
        };
        let objectives = objectives.iter().map(objective).collect();
        let endpoints = pods.iter().map(|pod| pod.endpoint()).collect();
        let snapshot =
            Snapshot { pool: "default".to_owned(), endpoints, objectives, ..Snapshot::default() };
        let body = wire::snapshot::encode(&snapshot).unwrap();
        Self { time: 0, sequence: 0, secret: SECRET, body }
    }

    /// Of these pods and these model rewrites.
    pub(super) fn with_rewrites(pods: &[Pod], model_rewrites: Vec<ModelRewrite>) -> Self {
        Self::with(Snapshot { model_rewrites, ..Snapshot::default() }, pods)
    }

    /// Of these pods, which serve these models.
    pub(super) fn with_models(pods: &[Pod], models: Vec<Model>) -> Self {
        Self::with(Snapshot { models, ..Snapshot::default() }, pods)
    }

    /// Of so many idle pods, told apart by their ports.
    pub(super) fn of_many(pods: u16) -> Self {
        let pod =
            |port| Endpoint { address: ([10, 0, 0, 1], port).into(), ..Pod::idle(1).endpoint() };
        Self::of_endpoints(Snapshot::default(), (1..=pods).map(pod).collect())
    }

    fn with(snapshot: Snapshot, pods: &[Pod]) -> Self {
        Self::of_endpoints(snapshot, pods.iter().map(|pod| pod.endpoint()).collect())
    }

    pub(super) fn of_endpoints(snapshot: Snapshot, endpoints: Vec<Endpoint>) -> Self {
        let snapshot = Snapshot { pool: "default".to_owned(), endpoints, ..snapshot };
        Self {
            time: 0,
            sequence: 0,
            secret: SECRET,
            body: wire::snapshot::encode(&snapshot).unwrap(),
        }
    }

    /// What it is sent with.
    pub(super) fn headers(&self) -> [(&'static str, String); 3] {
        let stamp = Stamp { time_ms: self.time, sequence: self.sequence };
        let secret = Secret::new(self.secret.as_bytes()).unwrap();
        [
            (push::TIME_HEADER, self.time.to_string()),
            (push::SEQUENCE_HEADER, self.sequence.to_string()),
            (push::SIGNATURE_HEADER, secret.sign(stamp, &self.body)),
        ]
    }
}
