//! Pushing to Envoys that restart, hang and refuse.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, sync::Notify, time};

use crate::{
    server::Reply,
    world::{Envoy, PATIENCE, Pod, Pushes, anywhere, page, poll, pool, settings, start, waiting},
};

#[tokio::test]
async fn a_restarted_envoy_gets_a_full_snapshot() {
    let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
    let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
    envoy.wait_for(pod.address, "3 waiting", |it| waiting(it) == Some(3)).await;
    let (address, before) = (envoy.address, envoy.sequence());
    envoy.stop().await;

    let envoy = Envoy::start_at(address, |_| Reply::Whole(204, Vec::new())).await;
    let first = envoy.wait("a push", |it| it.count == 1).await;
    assert!(first.stamp.unwrap().sequence > before);
    envoy.wait_for(pod.address, "3 waiting", |it| waiting(it) == Some(3)).await;
}

#[tokio::test]
async fn an_envoy_that_hangs_holds_up_no_other() {
    let pod = Pod::start(page(3)).await;
    let hung = Envoy::start_at(anywhere(), |_| Reply::Never).await;
    let healthy = Envoy::start().await;
    let mut settings = settings(&[pod.address], &[hung.address, healthy.address]);
    settings.pace.timeout = Duration::from_secs(600);
    let _scraper = start(settings).await;
    hung.wait("a push", |it| it.count == 1).await;
    healthy.wait("20 pushes", |it| it.count >= 20).await;
    assert_eq!(hung.pushes().count, 1, "never more than one on its way");
}

/// A push that took long is followed by the newest snapshot, and not by those made meanwhile.
#[tokio::test]
async fn the_newest_snapshot_wins() {
    let pod = Pod::start(page(3)).await;
    let mut first = true;
    let slow = Envoy::start_at(anywhere(), move |_| match std::mem::take(&mut first) {
        true => Reply::Never,
        false => Reply::Whole(204, Vec::new()),
    })
    .await;
    let steady = Envoy::start().await;
    let _scraper = start(settings(&[pod.address], &[slow.address, steady.address])).await;
    let number = |pushes: Pushes| pushes.stamp.unwrap().sequence;
    let first = number(slow.wait("a push", |it| it.count == 1).await);
    let second = number(slow.wait("a second", |it| it.count == 2).await);
    assert!(second > first + 1, "the timeout is five intervals, yet {second} follows {first}");
}

#[tokio::test]
async fn a_refusal_is_told_with_the_envoy_s_reason() {
    let pod = Pod::start(page(3)).await;
    let body = br#"{"error":{"message":"the signature is wrong"}}"#.to_vec();
    let envoy = Envoy::start_at(anywhere(), move |_| Reply::Whole(401, body.clone())).await;
    let scraper = start(settings(&[pod.address], &[envoy.address])).await;
    let said = "401 Unauthorized: the signature is wrong";
    poll(&scraper, "/readyz", |page| page.contains(said)).await;
    poll(&scraper, "/", |page| page.contains(said)).await;
    poll(&scraper, "/metrics", |page| page.contains("outcome=\"status-4xx\"")).await;
}

/// A refused pool is larger than the ingest takes, or not known to the picker.
#[tokio::test]
async fn a_pool_that_an_envoy_refuses_holds_up_no_other() {
    let pod = Pod::start(page(3)).await;
    let refused = |it: &Pushes| it.last.as_ref().is_some_and(|last| last.pool == "refused");
    let envoy = Envoy::start_at(anywhere(), move |pushes| match refused(pushes) {
        true => Reply::Whole(413, b"too large".to_vec()),
        false => Reply::Whole(204, Vec::new()),
    });
    let envoy = envoy.await;
    let mut settings = settings(&[], &[envoy.address]);
    settings.pools = ["refused", "taken"].map(|name| pool(name, &[pod.address])).into();
    let scraper = start(settings).await;
    for _ in 0..10 {
        let before = envoy.wait("any", |it| it.count > 0).await.count;
        envoy.wait("the other pool", |it| !refused(it) && it.count > before).await;
    }
    let said = "pool refused: answered 413 Payload Too Large: too large";
    poll(&scraper, "/overview", |page| page.contains(said)).await;
    poll(&scraper, "/readyz", |page| page.starts_with("HTTP/1.1 200")).await;
}

/// A push on its way when the scraper stops still arrives, and none comes after it.
#[tokio::test]
async fn stopping_waits_for_the_push_on_its_way() {
    let pod = Pod::start(page(3)).await;
    let answer = Arc::new(Notify::new());
    let held = Arc::clone(&answer);
    let envoy = Envoy::start_at(anywhere(), move |_| Reply::Held(Arc::clone(&held))).await;
    let mut settings = settings(&[pod.address], &[envoy.address]);
    settings.pace.timeout = PATIENCE;
    let scraper = start(settings).await;
    let own = scraper.address();
    envoy.wait("a push", |it| it.count == 1).await;

    let stopping = tokio::spawn(scraper.stop());
    closed(own).await;
    assert!(!stopping.is_finished(), "the Envoy has not answered yet");
    answer.notify_one();
    stopping.await.unwrap();
    assert_eq!(envoy.pushes().count, 1);
}

/// Waits until nothing listens on the address.
async fn closed(address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "{address} still listens");
        time::sleep(Duration::from_millis(5)).await;
    }
}
