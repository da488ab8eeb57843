//! A scraper in the test's hands: pushes, signed or not quite.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use picker_core::{Endpoint, Health, Incarnation, Metrics, Objective, Snapshot, flow::Priority};
use sha2::Sha256;
use stack::Stack;
use wire::{
    reply::{self, Have},
    report::Report,
    tally::LabelSet,
};

use super::client::{Reply, post};

/// One push, all of whose parts can be wrong.
#[derive(Clone, Debug)]
pub(super) struct Push {
    /// Unix time in milliseconds.
    pub(super) time: u64,
    pub(super) sequence: u64,
    pub(super) secret: String,
    pub(super) body: Vec<u8>,
}

impl Push {
    /// What a scraper would send of these pods, all idle.
    pub(super) fn of(stack: &Stack, sequence: u64, pods: &[SocketAddr]) -> Self {
        Self::of_pool("default", stack, sequence, pods)
    }

    /// The same for another pool.
    fn of_pool(pool: &str, stack: &Stack, sequence: u64, pods: &[SocketAddr]) -> Self {
        Self::with(pool, stack, sequence, pods.iter().copied().map(idle).collect())
    }

    fn with(pool: &str, stack: &Stack, sequence: u64, endpoints: Vec<Endpoint>) -> Self {
        let pool = pool.to_owned();
        Self::of_snapshot(stack, sequence, &Snapshot { pool, endpoints, ..Snapshot::default() })
    }

    pub(super) fn of_snapshot(stack: &Stack, sequence: u64, snapshot: &Snapshot) -> Self {
        let body = wire::snapshot::encode(snapshot).unwrap();
        Self { time: now(), sequence, secret: stack.secret.clone(), body }
    }

    /// The same while these others are down: known, and not to be chosen.
    pub(super) fn beside(
        stack: &Stack,
        sequence: u64,
        pods: &[SocketAddr],
        down: &[SocketAddr],
    ) -> Self {
        let down = down.iter().map(|at| Endpoint { health: Health::Down, ..idle(*at) });
        let up = pods.iter().copied().map(idle);
        Self::with("default", stack, sequence, up.chain(down).collect())
    }

    pub(super) fn signature(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("{}\n{}\n", self.time, self.sequence).as_bytes());
        mac.update(&self.body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Pushes it, signed with its secret.
    pub(super) async fn send(&self, stack: &Stack) -> Reply {
        self.send_signed(stack, self.signature()).await
    }

    /// Pushes it under a signature from elsewhere.
    pub(super) async fn send_signed(&self, stack: &Stack, signature: String) -> Reply {
        let headers = self.headers(signature);
        let reply = post(stack.ingest, "/v1/snapshot", &headers, self.body.clone()).await;
        if reply.status == 204 {
            LAST.lock().unwrap().insert(stack.ingest, self.clone());
        }
        reply
    }

    /// Pushes it and asks what only the gateway knows.
    pub(super) async fn send_for_report(&self, stack: &Stack) -> Report {
        self.send_for_reply(stack, None).await.report
    }

    /// Pushes it and asks for all that is new since this reply.
    pub(super) async fn send_for_reply(&self, stack: &Stack, have: Option<Have>) -> reply::Reply {
        let mut headers = self.headers(self.signature()).to_vec();
        headers.push((reply::REPLY_HEADER, reply::VERSION.to_owned()));
        headers.extend(have.map(|have| (reply::HAVE_HEADER, have.to_string())));
        let answer = post(stack.ingest, "/v1/snapshot", &headers, self.body.clone()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        reply::Reply::decode(&answer.bytes).unwrap()
    }

    pub(super) fn headers(&self, signature: String) -> [(&'static str, String); 3] {
        [
            ("x-llm-picker-time", self.time.to_string()),
            ("x-llm-picker-sequence", self.sequence.to_string()),
            ("x-llm-picker-signature", signature),
        ]
    }
}

/// Highest number of a push that names no start of a scraper.
pub(super) const SEQUENCE_MAX: u64 = (1 << 40) - 1;

/// The newest push to each gateway, by its ingest, for a look at what it holds.
static LAST: Mutex<BTreeMap<SocketAddr, Push>> = Mutex::new(BTreeMap::new());

/// Requests that the gateway holds, by its answer to the same push again.
pub(super) async fn held(stack: &Stack) -> u64 {
    let last = LAST.lock().unwrap().get(&stack.ingest).cloned();
    let again = Push { time: now(), sequence: SEQUENCE_MAX, ..last.expect("no push to repeat") };
    let reply = again.send(stack).await;
    reply.header("x-llm-picker-waiting").and_then(|held| held.parse().ok()).unwrap_or(u64::MAX)
}

/// All label sets that the gateway's workers have written, by its replies to the same push again.
pub(super) async fn tallied(stack: &Stack) -> Vec<LabelSet<'static>> {
    let last = LAST.lock().unwrap().get(&stack.ingest).cloned();
    let push = Push { time: now(), sequence: SEQUENCE_MAX, ..last.expect("no push to repeat") };
    let counts = push.send_for_reply(stack, None).await.counts;
    let read = |(_, bytes): &(u32, Vec<u8>)| LabelSet::decode(bytes).unwrap().into_owned();
    counts.sets.iter().map(read).collect()
}

/// Pushes a good snapshot of these pods.
pub(super) async fn snapshot(stack: &Stack, sequence: u64, pods: &[SocketAddr]) {
    let reply = Push::of(stack, sequence, pods).send(stack).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// Pushes a good snapshot of these pods, and asks what the gateway knows of them.
pub(super) async fn report(stack: &Stack, pods: &[SocketAddr]) -> Report {
    Push::of(stack, 0, pods).send_for_report(stack).await
}

/// Pushes a good snapshot of another pool.
pub(super) async fn snapshot_of(pool: &str, stack: &Stack, sequence: u64, pods: &[SocketAddr]) {
    let reply = Push::of_pool(pool, stack, sequence, pods).send(stack).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// Pushes a good snapshot of these pods, each with its stage in disaggregated serving.
pub(super) async fn stages(stack: &Stack, sequence: u64, pods: &[(SocketAddr, &str)]) {
    endpoints(stack, sequence, pods.iter().map(staged).collect()).await;
}

/// Pushes the same again, and asks what the gateway knows of them.
pub(super) async fn report_on_stages(stack: &Stack, pods: &[(SocketAddr, &str)]) -> Report {
    let endpoints = pods.iter().map(staged).collect();
    Push::with("default", stack, 0, endpoints).send_for_report(stack).await
}

fn staged((address, role): &(SocketAddr, &str)) -> Endpoint {
    let labels = vec![("llm-d.ai/role".to_owned(), (*role).to_owned())];
    Endpoint { labels, ..idle(*address) }
}

/// Pushes a good snapshot of these endpoints.
pub(super) async fn endpoints(stack: &Stack, sequence: u64, endpoints: Vec<Endpoint>) {
    let reply = Push::with("default", stack, sequence, endpoints).send(stack).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// Pushes a good snapshot of these pods and these objectives, by ascending name.
pub(super) async fn objectives(
    stack: &Stack,
    sequence: u64,
    pods: &[SocketAddr],
    objectives: &[(&str, i32)],
) {
    let objective = |&(name, priority): &(&str, i32)| Objective {
        name: name.to_owned(),
        priority: Priority(priority),
    };
    let snapshot = Snapshot {
        pool: "default".to_owned(),
        endpoints: pods.iter().copied().map(idle).collect(),
        objectives: objectives.iter().map(objective).collect(),
        ..Snapshot::default()
    };
    let reply = Push::of_snapshot(stack, sequence, &snapshot).send(stack).await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

/// An endpoint without a request.
pub(super) fn idle(address: SocketAddr) -> Endpoint {
    Endpoint {
        address,
        health: Health::Up,
        metrics: Some(Metrics::default()),
        labels: Vec::new(),
        incarnation: Incarnation::default(),
    }
}

/// Milliseconds since the Unix epoch, and never the same twice: of two pushes of one moment the numbers would count.
fn now() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = u64::try_from(since_epoch.as_millis()).expect("later than the year 500 million");
    let later = |last: u64| Some(now.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap();
    later(last).unwrap()
}
