//! Pods that answer, hang, refuse, or answer nonsense.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use picker_core::{Health, Snapshot};
use scraper::settings::{Discovery, ListedEndpoints};
use tokio::time;

use crate::{
    server::{Reply, Server},
    world::{Envoy, Pod, anywhere, get, is_down, page, page_of, settings, start, waiting},
};

#[tokio::test]
async fn a_healthy_pod_s_readings_arrive_and_stay_fresh() {
    let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
    let mut settings = settings(&[], &[envoy.address]);
    let target = format!("{} role=decode app=x", pod.address).parse().unwrap();
    settings.pools[0].discovery =
        Discovery::Listed(ListedEndpoints { endpoints: vec![target], file: None });
    let scraper = start(settings).await;

    let seen = envoy.wait_for(pod.address, "3 waiting", |it| waiting(it) == Some(3)).await;
    let metrics = seen.metrics.unwrap();
    assert_eq!((metrics.running, metrics.kv_usage), (2, 0.5));
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(seen.labels, [label("app", "x"), label("role", "decode")]);
    assert_eq!(envoy.pushes().last.unwrap().pool, "default");

    pod.reply_with(page(4));
    let seen = envoy.wait_for(pod.address, "4 waiting", |it| waiting(it) == Some(4)).await;
    assert!(seen.metrics.unwrap().age < Duration::from_secs(1));
    scraper.stop().await;
}

/// An announced end of the connection is no failure, however often it happens.
#[tokio::test]
async fn a_pod_may_close_the_connection_after_each_answer() {
    let Reply::Whole(_, good) = page(3) else { panic!("a page is whole") };
    let (pod, envoy) = (Pod::start(Reply::Last(good)).await, Envoy::start().await);
    let scraper = start(settings(&[pod.address], &[envoy.address])).await;
    pod.wait_until_asked(20).await;
    let own = get(&scraper, "/metrics").await;
    assert!(own.contains("outcome=\"ok\"") && !own.contains("outcome=\"broken\""), "{own}");
}

#[tokio::test]
async fn a_pod_that_hangs_is_asked_once_at_a_time_and_delays_no_other() {
    let (hung, healthy) = (Pod::start(Reply::Never).await, Pod::start(page(0)).await);
    let envoy = Envoy::start().await;
    let mut settings = settings(&[hung.address, healthy.address], &[envoy.address]);
    settings.pace.timeout = Duration::from_secs(600);
    let _scraper = start(settings).await;

    hung.wait_until_asked(1).await;
    healthy.wait_until_asked(20).await;
    assert_eq!(hung.asked(), 1, "no second scrape before the first has ended");
    envoy.wait("20 pushes", |pushes| pushes.count >= 20).await;
}

/// Each that hangs would hold the only permit for 150 ms.
#[tokio::test]
async fn pods_that_are_down_and_hang_take_no_permits_of_others() {
    let healthy = Pod::start(page(1)).await;
    let (mut hung, mut all) = (Vec::new(), vec![healthy.address]);
    for _ in 0..20 {
        let pod = Pod::start(Reply::Never).await;
        all.push(pod.address);
        hung.push(pod);
    }
    let envoy = Envoy::start().await;
    let mut settings = settings(&all, &[envoy.address]);
    settings.pace.scrapes = 1;
    let _scraper = start(settings).await;
    for pod in &hung {
        envoy.wait_for(pod.address, "down", is_down).await;
    }
    let asked = healthy.asked();
    let began = time::Instant::now();
    healthy.wait_until_asked(asked + 10).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_pod_that_hangs_goes_down_keeps_its_last_reading_and_returns() {
    let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
    let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
    envoy.wait_for(pod.address, "3 waiting", |it| waiting(it) == Some(3)).await;

    pod.reply_with(Reply::Never);
    let down = envoy.wait_for(pod.address, "down", is_down).await;
    let last = down.metrics.unwrap();
    assert_eq!(last.waiting, 3);
    assert!(last.age >= Duration::from_millis(500), "three timeouts ago, not {:?}", last.age);

    pod.reply_with(page(4));
    envoy.wait_for(pod.address, "4 waiting", |it| waiting(it) == Some(4)).await;
}

#[tokio::test]
async fn a_pod_that_refuses_connections_is_down_until_it_returns() {
    let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
    let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
    let address = pod.address;
    envoy.wait_for(address, "3 waiting", |it| waiting(it) == Some(3)).await;

    pod.stop().await;
    envoy.wait_for(address, "down", is_down).await;
    let back = std::time::Instant::now();
    let _pod = Pod::start_at(address, page(4)).await;
    envoy.wait_for(address, "4 waiting", |it| waiting(it) == Some(4)).await;
    // The longest back-off is 1 s; the rest is for a busy machine.
    assert!(back.elapsed() < Duration::from_secs(3), "{:?}", back.elapsed());
}

/// A pod without requests is left alone for longer, until a gateway says that it holds some.
#[tokio::test]
async fn an_idle_pod_is_asked_at_once_when_a_gateway_waits() {
    let idle = page_of(0, 0);
    let pod = Pod::start(idle).await;
    let waits = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&waits);
    let envoy = Envoy::start_at(anywhere(), move |_| {
        if says.load(Ordering::SeqCst) { Reply::Waiting(7) } else { Reply::Waiting(0) }
    });
    let envoy = envoy.await;
    let mut settings = settings(&[pod.address], &[envoy.address]);
    settings.pace.idle_interval = Duration::from_secs(600);
    let _scraper = start(settings).await;
    pod.wait_until_asked(1).await;
    envoy.wait("ten pushes", |it| it.count >= 10).await;
    assert_eq!(pod.asked(), 1, "it is idle");
    waits.store(true, Ordering::SeqCst);
    pod.wait_until_asked(10).await;
    // Then at the pace of all others, which is that of the pushes, however idle it is.
    let (asked, pushed) = (pod.asked(), envoy.pushes().count);
    let pushed = envoy.wait("20 more pushes", |it| it.count >= pushed + 20).await.count - pushed;
    let asked = pod.asked() - asked;
    assert!(asked <= 3 * pushed, "{asked} scrapes in {pushed} intervals");
}

/// vLLM serves the wanted families alone where it is asked for them. A pod that does not is read
/// whole, and not asked for a selection each time.
#[tokio::test]
async fn a_pod_is_asked_for_what_is_wanted() {
    let answers: [(&str, Reply, &str); 3] = [
        ("a selection", page(1), "GET /metrics/?"),
        ("404", Reply::Whole(404, Vec::new()), "GET /metrics"),
        ("an empty selection", Reply::Whole(200, Vec::new()), "GET /metrics"),
    ];
    for (what, selection, used) in answers {
        let asked = Arc::new(Mutex::new(Vec::<String>::new()));
        let seen = Arc::clone(&asked);
        let pod = Server::start(anywhere(), move |it| {
            if it.line == "GET /v1/models" {
                return Reply::Whole(404, Vec::new());
            }
            seen.lock().unwrap().push(it.line.clone());
            let selects =
                it.line.starts_with("GET /metrics/?name%5B%5D=vllm:num_requests_waiting&");
            if selects { selection.clone() } else { page(2) }
        });
        let (pod, envoy) = (pod.await, Envoy::start().await);
        let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
        let waits = if used.ends_with('?') { 1 } else { 2 };
        envoy.wait_for(pod.address, what, |it| waiting(it) == Some(waits)).await;
        envoy.wait("ten pushes", |it| it.count >= 10).await;
        let asked = asked.lock().unwrap();
        let later = asked.iter().skip(2);
        assert!(asked.len() > 3, "{what}: {asked:?}");
        for line in later {
            assert_eq!(line.split_inclusive('?').next().unwrap(), used, "{what}: {asked:?}");
        }
    }
}

/// A page that is no page says nothing of the port that serves requests; what was read before is worth nothing then.
#[tokio::test]
async fn a_pod_whose_page_cannot_be_read_is_not_down() {
    let Reply::Whole(_, good) = page(3) else { panic!("a page is whole") };
    let replies = [
        ("garbage", Reply::Whole(200, b"<html>hello</html>".to_vec())),
        ("no metrics", Reply::Whole(200, Vec::new())),
        ("not UTF-8", Reply::Whole(200, vec![0xff; 4096])),
        ("503", Reply::Whole(503, good)),
        ("404", Reply::Whole(404, Vec::new())),
        ("9 MB", Reply::Whole(200, vec![b'\n'; 9 << 20])),
    ];
    for (what, reply) in replies {
        let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
        let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
        envoy.wait_for(pod.address, what, |it| waiting(it) == Some(3)).await;
        pod.reply_with(reply);
        let unread = envoy.wait_for(pod.address, what, |it| it.metrics.is_none()).await;
        assert_eq!(unread.health, Health::Up, "{what}");
        pod.reply_with(page(4));
        envoy.wait_for(pod.address, what, |it| waiting(it) == Some(4)).await;
    }
}

#[tokio::test]
async fn a_pod_that_breaks_off_or_sleeps_is_down() {
    let Reply::Whole(_, good) = page(3) else { panic!("a page is whole") };
    let asleep = b"vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 0\n";
    let asleep = [&good[..], asleep].concat();
    let replies = [("truncated", Reply::Half(good)), ("asleep", Reply::Whole(200, asleep))];
    for (what, reply) in replies {
        let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
        let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
        envoy.wait_for(pod.address, what, |it| waiting(it) == Some(3)).await;
        pod.reply_with(reply);
        let down = envoy.wait_for(pod.address, what, is_down).await;
        assert_eq!(down.metrics.unwrap().waiting, 3, "{what}: the last good reading stays");
        pod.reply_with(page(4));
        envoy.wait_for(pod.address, what, |it| waiting(it) == Some(4)).await;
    }
}

/// Metrics on a port of their own that nothing listens on say nothing of the port that serves.
#[tokio::test]
async fn a_pod_whose_metrics_port_is_closed_is_not_down() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (pod, envoy) = (Pod::start(page(3)).await, Envoy::start().await);
    let gone: SocketAddr = format!("127.0.0.1:{closed}").parse().unwrap();
    let mut settings = settings(&[pod.address, gone], &[envoy.address]);
    settings.pools[0].source.port = Some(closed);
    let _scraper = start(settings).await;
    envoy.wait_for(gone, "the one that serves nothing", is_down).await;
    envoy.wait("ten pushes", |it| it.count >= 10).await;
    let unread = envoy.wait_for(pod.address, "the other", |it| it.metrics.is_none()).await;
    assert_eq!(unread.health, Health::Up);
}

/// Counts saturate, and do not overflow to small ones.
#[tokio::test]
async fn a_pod_that_claims_the_impossible_is_read_on() {
    let (pod, envoy) = (Pod::start(page(u32::MAX)).await, Envoy::start().await);
    let _scraper = start(settings(&[pod.address], &[envoy.address])).await;
    envoy.wait_for(pod.address, "the most", |it| waiting(it) == Some(u32::MAX)).await;
    pod.reply_with(page(4));
    envoy.wait_for(pod.address, "4 waiting", |it| waiting(it) == Some(4)).await;
}

/// What a list has beside names is the engine's own; a pod that is down has no list.
#[tokio::test]
async fn the_models_of_all_pods_that_are_up_arrive_once() {
    let list = |own: &str| {
        let text = format!(
            r#"{{"data":[{{"id":"base","max_model_len":4096}},{{"id":"{own}","parent":"base"}}]}}"#
        );
        Reply::Whole(200, text.into_bytes())
    };
    let one = Pod::serving(anywhere(), page(0), list("sql")).await;
    let two = Pod::serving(anywhere(), page(0), list("chat")).await;
    let (silent, envoy) = (Pod::start(page(0)).await, Envoy::start().await);
    let pods = [one.address, two.address, silent.address];
    let scraper = start(settings(&pods, &[envoy.address])).await;
    let names = |snapshot: &Snapshot| {
        let all = snapshot.models.iter();
        all.map(|it| format!("{} {:?} {}", it.name, it.parent, it.members)).collect::<Vec<_>>()
    };
    let wait_for = async |count: usize| {
        let has = |it: &Snapshot| it.models.len() == count;
        let pushes = envoy.wait("a list", |pushes| pushes.last.as_ref().is_some_and(has)).await;
        pushes.last.unwrap()
    };
    let all = wait_for(3).await;
    let adapter = |name: &str| format!("{name} Some(\"base\") \"parent\":\"base\"");
    let base = "base None \"max_model_len\":4096".to_owned();
    assert_eq!(names(&all), [base.clone(), adapter("chat"), adapter("sql")]);
    two.stop().await;
    let left = wait_for(2).await;
    assert_eq!(names(&left), [base, adapter("sql")]);
    scraper.stop().await;
}
