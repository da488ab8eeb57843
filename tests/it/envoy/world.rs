//! A stack for one story, and what must hold at its end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says where it was"
)]

use std::{
    panic::Location,
    path::Path,
    time::{Duration, Instant},
};

use stack::{Builder, Programs, Stack, Way};
use tokio::time::{sleep, timeout};

use super::client;

/// A story takes a second or two; one that takes this long hangs.
const STORY: Duration = Duration::from_secs(60);

/// What a story waits for mostly comes within a second, and for the counts of a dead worker after five.
const LONG: Duration = Duration::from_secs(15);

/// Between two looks at what changes within tens of milliseconds.
const AGAIN: Duration = Duration::from_millis(20);

/// What Envoy counts that says where a story got to.
const TELLING: &str = "flow_control|_rq_active|_cx_active|vm_reload|upstream_rq_total";

/// Connections that it may take until the kernel has given one to each worker: that one of two gets none has a chance of 1
/// in 2^63, that one of four does, of 1 in 10^7.
pub(super) const CONNECTIONS: usize = 64;

/// The built programs; an error that says what to run where one is missing.
pub(super) fn stack() -> Builder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    match Programs::built_in(root) {
        // Pods that take no time: what is in front of them is what these stories are about.
        Ok(programs) => Stack::builder(programs).explaining().pod_args(&["--profile", "instant"]),
        Err(error) => panic!("{error}"),
    }
}

/// Tells the story once, in the way that the builder was given.
pub(super) async fn tell(builder: Builder, story: impl AsyncFn(&mut Stack)) {
    tell_within(STORY, builder, story).await;
}

/// The same for a story that may take so long.
pub(super) async fn tell_within(
    longest: Duration,
    builder: Builder,
    story: impl AsyncFnOnce(&mut Stack),
) {
    tell_to_end(longest, builder, story, every_worker_is_alive).await;
}

/// The same for a story in which VMs die: in the end every worker has one that serves.
pub(super) async fn tell_of_death(builder: Builder, story: impl AsyncFn(&mut Stack)) {
    tell_to_end(STORY, builder, story, every_worker_serves).await;
}

/// The same for a story in which the picker has no configuration to go by, so that no worker reads bodies.
pub(super) async fn tell_of_refusal(builder: Builder, story: impl AsyncFn(&mut Stack)) {
    tell_to_end(STORY, builder, story, no_vm_died).await;
}

async fn tell_to_end(
    longest: Duration,
    builder: Builder,
    story: impl AsyncFnOnce(&mut Stack),
    end: impl AsyncFn(&Stack),
) {
    let mut stack = builder.start().await.unwrap_or_else(|error| panic!("{error:#}"));
    eprintln!("{}", stack.way);
    let told = timeout(longest, async {
        story(&mut stack).await;
        end(&stack).await;
    });
    if told.await.is_err() {
        let said = stack.stats(TELLING).await;
        panic!("{}: the story hangs; Envoy says:\n{}", stack.way, said.unwrap_or_default());
    }
}

/// Tells the story once in every way.
pub(super) async fn tell_in_every_way(
    setup: impl Fn(Builder) -> Builder,
    story: impl AsyncFn(&mut Stack),
) {
    for way in Way::ALL {
        tell(setup(stack().way(way)), &story).await;
    }
}

/// A panic in the filter kills one worker's VM. The next request there would get a new one, so both are looked at: that
/// every worker answers (whatever the pods' state, in words of the filter or of a pod), and that no VM was replaced.
async fn every_worker_is_alive(stack: &Stack) {
    every_worker_serves(stack).await;
    no_vm_died(stack).await;
}

async fn no_vm_died(stack: &Stack) {
    let deaths = stack.stats("^wasm\\..*vm_reload_(success|failure)$").await.unwrap();
    // One of each plugin: the picker, mostly an ingest, and a second picker where there is one.
    assert!(deaths.lines().count() >= 2, "{deaths}");
    assert!(deaths.lines().all(|line| line.ends_with(": 0")), "a VM died: {deaths}");
}

async fn every_worker_serves(stack: &Stack) {
    let before = connections(stack).await;
    for _ in 0..CONNECTIONS {
        // Bad JSON is the filter's to answer, so this needs no pod.
        let reply = client::post(stack.gateway, "/v1/chat/completions", &[], "no JSON").await;
        assert_eq!(reply.status, 400, "{}: a worker no longer reads bodies: {reply:?}", stack.way);
        let now = connections(stack).await;
        if now.iter().zip(&before).all(|(now, before)| now > before) {
            return;
        }
    }
    panic!("{CONNECTIONS} connections never reached some worker");
}

/// Tries again until there is something: for what others do in their own time. The story's end is the limit; who waits long
/// says where, for a story that hangs.
#[track_caller]
pub(super) fn until<T>(attempt: impl AsyncFn() -> Option<T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            if begun.elapsed() > LONG && !is_told {
                is_told = true;
                eprintln!("{caller}: waits for longer than {LONG:?}");
            }
            sleep(AGAIN).await;
        }
    }
}

/// How many connections each worker has had.
async fn connections(stack: &Stack) -> Vec<u64> {
    let stats = stack.stats("listener.gateway.worker_.*.downstream_cx_total").await.unwrap();
    let counts: Vec<u64> =
        stats.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(counts.len(), stack.workers, "{stats}");
    counts
}

/// Requests that the gateway has begun and not ended.
pub(super) async fn active_requests(stack: &Stack) -> u64 {
    let stats = stack.stats("^http.gateway.downstream_rq_active$").await.unwrap();
    stats.trim().rsplit(' ').next().unwrap().parse().unwrap()
}
