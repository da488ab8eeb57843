//! What is known of every pod, and what a snapshot says of it.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use picker_core::{Endpoint, Health, ModelRewrite};
use tokio::sync::watch;

use crate::{
    codec::{self, Reading},
    objectives::Objectives,
    waiting::Waiting,
};

/// One server port that is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Its identity.
    pub(crate) address: SocketAddr,
    /// Sorted by key.
    pub(crate) labels: Vec<(String, String)>,
    /// Whether it speaks HTTP/2 only.
    pub(crate) http2: bool,
}

/// What its scrapes have told so far.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Whether one scrape has ended, well or not.
    pub(crate) tried: bool,
    /// Why it is down, if it is.
    pub(crate) down: Option<String>,
    /// The last scrape that succeeded.
    pub(crate) reading: Option<Timed>,
}

/// A reading, and when it was asked for.
#[derive(Debug)]
pub(crate) struct Timed {
    /// When the scrape began. The page was written a little later, so ages are never understated.
    pub(crate) at: Instant,
    pub(crate) reading: Reading,
}

/// A pod with a view on its row, which the pod's own task writes.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) pod: Arc<Pod>,
    pub(crate) row: watch::Receiver<Row>,
}

/// A pool as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    /// In the discovery's order.
    pub(crate) members: Arc<[Member]>,
    pub(crate) objectives: Arc<Objectives>,
    pub(crate) rewrites: Arc<[ModelRewrite]>,
}

/// One pool, as publisher and pages see it. There is no board before the first list of pods.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) pool: Arc<str>,
    pub(crate) board: watch::Receiver<Option<Board>>,
    pub(crate) waiting: Waiting,
}

/// The pool's endpoints as they are at `now`.
pub(crate) fn endpoints(board: &[Member], now: Instant) -> Vec<Endpoint> {
    let endpoint = |member: &Member| endpoint(&member.pod, &member.row.borrow(), now);
    board.iter().map(endpoint).collect()
}

fn endpoint(pod: &Pod, row: &Row, now: Instant) -> Endpoint {
    let health = if row.down.is_some() { Health::Down } else { Health::Up };
    let metrics = row
        .reading
        .as_ref()
        .map(|timed| codec::metrics(&timed.reading, now.saturating_duration_since(timed.at)));
    Endpoint { address: pod.address, health, metrics, labels: pod.labels.clone() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAGE: &[u8] = b"vllm:num_requests_waiting 3\nvllm:num_requests_running 2\n\
        vllm:kv_cache_usage_perc 0.5\n";

    fn read_at(at: Instant, down: Option<&str>) -> Row {
        let reading = Some(Timed { at, reading: wire::metrics::scan(PAGE).unwrap() });
        Row { tried: true, down: down.map(str::to_owned), reading }
    }

    #[test]
    fn a_snapshot_has_every_pod_with_the_age_of_its_last_reading() {
        let start = Instant::now();
        let rows = [
            Row::default(),
            read_at(start, None),
            read_at(start, Some("connection refused")),
            read_at(start + Duration::from_secs(1), None),
        ];
        let members = (1..).zip(rows).map(|(port, row)| {
            let address = ([10, 0, 0, 1], port).into();
            let pod = Arc::new(Pod { address, labels: Vec::new(), http2: false });
            Member { pod, row: watch::channel(row).1 }
        });
        let board: Vec<_> = members.collect();
        let endpoints = endpoints(&board, start + Duration::from_millis(40));
        let lines = endpoints.iter().map(|it| {
            let ages = it.metrics.as_ref().map(|metrics| (metrics.waiting, metrics.age));
            format!("{} {:?} {ages:?}", it.address, it.health)
        });
        let lines: Vec<_> = lines.collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        10.0.0.1:1 Up None
        10.0.0.1:2 Up Some((3, 40ms))
        10.0.0.1:3 Down Some((3, 40ms))
        10.0.0.1:4 Up Some((3, 0ns))
        ");
    }
}
