//! Tries at one pod after the other, in every way that has a list: where no connection can be made all of the list is
//! gone down, and a pod that had the request and broke off is followed by one other.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use stack::{Stack, Way};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    client::{Reply, chat, chat_with},
    failures::nobody,
    push, upstream, world,
};

/// Requests of each story: the order of the list is random.
pub(super) const TIMES: usize = 12;

/// A pod that counts the requests which reach it, and breaks them off or answers them.
pub(super) struct CountingPod {
    pub(super) address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl CountingPod {
    pub(super) async fn that_breaks_off() -> Self {
        Self::start(false).await
    }

    pub(super) async fn that_answers() -> Self {
        Self::start(true).await
    }

    async fn start(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pod = Self { address: listener.local_addr().unwrap(), reached: Arc::default() };
        let reached = Arc::clone(&pod.reached);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers, Arc::clone(&reached)));
            }
        });
        pod
    }

    pub(super) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

/// Serves one request. Envoy may have connected for one that was then ended, so a connection alone reaches nothing.
async fn serve(mut stream: TcpStream, answers: bool, reached: Arc<AtomicUsize>) {
    let mut request = vec![0; 1 << 16];
    if !matches!(stream.read(&mut request).await, Ok(1..)) {
        return;
    }
    reached.fetch_add(1, Ordering::SeqCst);
    if answers {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.unwrap_or(());
    } else {
        upstream::reset(stream);
    }
}

/// The picker's configuration whose list has all of so many pods, in any order.
pub(super) fn any_order(pods: usize) -> Value {
    let picker = json!({"type": "random-picker", "parameters": {"maxNumOfEndpoints": pods}});
    json!({
        "plugins": [picker, {"type": "single-profile-handler"}],
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "random-picker"}]}],
    })
}

/// Tells the story of these pods in each way that fails over, with a list that has all of them, in any order.
async fn tell(pods: &[SocketAddr], story: impl AsyncFn(&mut Stack)) {
    let plugin = any_order(pods.len());
    for way in Way::ALL.into_iter().filter(|way| way.fails_over()) {
        let stack = world::stack().way(way).plugin(plugin.clone()).upstreams(pods.to_vec());
        world::tell(stack.without_scraper(), async |stack| {
            push::snapshot(stack, 1, pods).await;
            story(stack).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_list_is_gone_down_to_the_one_that_lives() {
    let living = CountingPod::that_answers().await;
    let dead = [nobody(), nobody(), nobody(), nobody(), nobody()];
    let pods: Vec<_> = dead.into_iter().chain([living.address]).collect();
    tell(&pods, async |stack| {
        for number in 0..TIMES {
            let reply = chat(stack.gateway, &number.to_string()).await;
            assert_eq!((reply.status, reply.served_by()), (200, living.address), "{reply:?}");
        }
    })
    .await;
    // No try reached it twice.
    let ways = Way::ALL.into_iter().filter(|way| way.fails_over()).count();
    assert_eq!(living.reached(), TIMES * ways);
}

/// A request at which engines die goes on to one other pod, wherever dead ones stand in between, and blames none.
#[tokio::test]
async fn a_request_of_death_reaches_two_pods() {
    let deadly = [
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
        CountingPod::that_breaks_off().await,
    ];
    let reached = || deadly.iter().map(CountingPod::reached).sum::<usize>();
    let pods: Vec<_> = deadly.iter().map(|pod| pod.address).chain([nobody(), nobody()]).collect();
    tell(&pods, async |stack| {
        for number in 0..TIMES {
            let before = reached();
            let reply = chat(stack.gateway, &number.to_string()).await;
            assert_eq!(reply.status, 502, "{reply:?}");
            assert_eq!(reached() - before, 2, "{number}: {reply:?}");
        }
    })
    .await;
}

/// The same pod breaks off what one client sends and answers what others send: it is none the worse for it.
#[tokio::test]
async fn who_broke_off_once_is_followed_by_one_that_answers() {
    let (deadly, good) = (CountingPod::that_breaks_off().await, CountingPod::that_answers().await);
    let pods = [deadly.address, good.address, nobody()];
    tell(&pods, async |stack| {
        for number in 0..TIMES {
            let before = deadly.reached();
            let reply = chat(stack.gateway, &number.to_string()).await;
            assert_eq!((reply.status, reply.served_by()), (200, good.address), "{reply:?}");
            assert!(deadly.reached() - before <= 1, "{number}");
        }
    })
    .await;
}

/// A client cannot have its own request ended, in a pod's name.
#[tokio::test]
async fn the_count_is_no_clients_to_say() {
    let good = CountingPod::that_answers().await;
    tell(&[good.address], async |stack| {
        for _ in 0..4 {
            let said = ["1", "2", "3"].map(|sent| ("x-llm-picker-sent", sent.to_owned()));
            let reply: Reply = chat_with(stack.gateway, "hello", &said).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    })
    .await;
}
