//! Engines that begin a new life: restarted, put to sleep, or another pod at the same address.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use picker_core::Incarnation;

use crate::{
    server::{Reply, Server},
    world::{Envoy, Pod, anywhere, page, settings, start, waiting},
};

/// Returns a page of a process that began at this Unix time, in seconds.
fn page_since(began: u64, waiting: u32) -> Reply {
    with(waiting, &format!("vllm:prefix_cache_queries_created{{engine=\"0\"}} {began}.5\n"))
}

/// Returns the usual page with more lines.
fn with(waiting: u32, lines: &str) -> Reply {
    let Reply::Whole(status, mut bytes) = page(waiting) else { panic!("a page is whole") };
    bytes.extend(lines.as_bytes());
    Reply::Whole(status, bytes)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

async fn life(envoy: &Envoy, pod: &Pod, waits: u32) -> Incarnation {
    let what = format!("{waits} waiting");
    envoy.wait_for(pod.address, &what, |it| waiting(it) == Some(waits)).await.incarnation
}

#[tokio::test]
async fn a_restart_is_a_later_life_for_every_scraper() {
    let began = unix_seconds() - 100;
    let (pod, envoy) = (Pod::start(page_since(began, 1)).await, Envoy::start().await);
    let scraper = start(settings(&[pod.address], &[envoy.address])).await;
    let first = life(&envoy, &pod, 1).await;
    assert_eq!(first.number, began * 1_000 + 500);
    assert!(first.age >= Duration::from_secs(99), "{first:?}");

    pod.reply_with(page_since(began + 60, 2));
    let second = life(&envoy, &pod, 2).await;
    assert_eq!(second.number, (began + 60) * 1_000 + 500);
    scraper.stop().await;

    // A scraper that has just started says the same of it.
    let envoy = Envoy::start().await;
    let scraper = start(settings(&[pod.address], &[envoy.address])).await;
    assert_eq!(life(&envoy, &pod, 2).await.number, second.number);

    pod.reply_with(with(3, "vllm:engine_sleep_state{sleep_state=\"awake\"} 0\n"));
    envoy.wait_for(pod.address, "down", crate::world::is_down).await;
    pod.reply_with(page_since(began + 60, 4));
    let woken = life(&envoy, &pod, 4).await;
    assert!(woken.number > second.number && woken.age < Duration::from_secs(10), "{woken:?}");
    scraper.stop().await;
}

/// The number of a life is the pod's own to choose.
#[tokio::test]
async fn a_pod_of_another_life_each_time_is_asked_for_its_models_now_and_then() {
    let (pages, lists) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, listed) = (Arc::clone(&pages), Arc::clone(&lists));
    let began = unix_seconds() - 10_000;
    let pod = Server::start(anywhere(), move |asked| {
        if asked.line == "GET /v1/models" {
            listed.fetch_add(1, Ordering::Relaxed);
            return Reply::Whole(200, br#"{"data":[{"id":"base"}]}"#.to_vec());
        }
        page_since(began + counted.fetch_add(1, Ordering::Relaxed), 1)
    })
    .await;
    let envoy = Envoy::start().await;
    let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
    let began = std::time::Instant::now();
    while pages.load(Ordering::Relaxed) < 30 {
        assert!(began.elapsed() < crate::world::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lists = lists.load(Ordering::Relaxed);
    let seconds = began.elapsed().as_secs();
    assert!(lists <= seconds + 2, "{lists} questions in {seconds} s");
}
