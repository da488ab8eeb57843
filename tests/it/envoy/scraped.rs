//! The EPP's metrics on the scraper's page, true in value over workers and gateways.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use stack::Stack;

use super::{
    client::{chat_with, post},
    pull::free_port,
    world,
};

const SECRET: &str = "a secret of two gateways and one scraper";
const TENANT: &str = "x-llm-d-inference-fairness-id";

/// Requests of two tenants at each gateway.
const ASKED: [(&str, usize); 2] = [("ann", 5), ("bob", 7)];

/// A scraper that pushes to several gateways; killed when dropped.
struct Scraper(Child);

impl Scraper {
    fn start(port: u16, pod: SocketAddr, ingests: &[SocketAddr]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/llm-scraper");
        let mut command = Command::new(program);
        command.args(["--pool", "default", "--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--endpoint", &pod.to_string()]);
        for ingest in ingests {
            command.args(["--envoy", &format!("http://{ingest}")]);
        }
        command.env("LLM_PICKER_SECRET", SECRET).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sum of a family's samples that have these labels.
fn sum(page: &str, name: &str, labels: &[&str]) -> Option<u64> {
    let is_wanted = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    };
    let values = page.lines().filter(is_wanted).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<u64>().unwrap()).reduce(|sum, value| sum + value)
}

/// Waits for snapshots: until then requests pass unpicked.
async fn is_informed(stack: &Stack) {
    world::until(async || {
        let stats = stack.stats("^http.ingest.downstream_rq_2xx$").await.ok()?;
        let count: u64 = stats.trim().rsplit(' ').next()?.parse().ok()?;
        (count > 1).then_some(())
    })
    .await;
}

async fn ask(stack: &Stack) {
    for (tenant, times) in ASKED {
        for _ in 0..times {
            let headers = [(TENANT, tenant.to_owned())];
            let reply = world::until(async || {
                let reply = chat_with(stack.gateway, "hello", &headers).await;
                (reply.status == 200).then_some(reply)
            });
            reply.await;
        }
    }
    let refused = post(stack.gateway, "/v1/chat/completions", &[], "no JSON").await;
    assert_eq!(refused.status, 400, "{refused:?}");
}

/// What the page says once everything is counted, which is the same for however many workers.
async fn page_is_true(status: SocketAddr, gateways: u64) {
    let page = world::until(async || {
        let page = stack::get(status, "/metrics").await.ok()?.body;
        let all = sum(&page, "llm_picker_picked_total", &[]) == Some(12 * gateways);
        let over = sum(&page, "llm_d_epp_request_total", &[]) == Some(12 * gateways);
        let refused = sum(&page, "llm_picker_refused_total", &[r#"code="400""#]);
        (all && over && refused == Some(gateways)).then_some(page)
    })
    .await;
    for (tenant, times) in ASKED {
        let who = format!("fairness_id=\"{tenant}\"");
        let labels = [r#"model_name="tiny""#, r#"target_model_name="tiny""#, &who];
        let expected = Some(u64::try_from(times).unwrap() * gateways);
        for family in [
            "llm_d_epp_request_total",
            "llm_d_epp_request_duration_seconds_count",
            "llm_d_epp_request_size_bytes_count",
            "llm_d_epp_request_input_tokens_count",
        ] {
            assert_eq!(sum(&page, family, &labels), expected, "{family}: {page}");
        }
        let above = [labels.as_slice(), &[r#"le="+Inf""#]].concat();
        assert_eq!(sum(&page, "llm_d_epp_request_duration_seconds_bucket", &above), expected);
        assert_eq!(sum(&page, "llm_d_epp_request_running", &labels), Some(0), "{page}");
    }
    let sent = [r#"status="success""#, r#"target_model_name="tiny""#];
    assert_eq!(sum(&page, "llm_d_epp_scheduler_attempts_total", &sent), Some(12 * gateways));
    assert_eq!(sum(&page, "llm_d_epp_ready_endpoints", &[r#"name="default""#]), Some(1));
    assert!(page.ends_with("# EOF\n") && page.matches("# EOF").count() == 1);
}

#[tokio::test]
async fn what_was_sent_is_what_the_page_says() {
    for workers in [1, 2, 8] {
        world::tell(world::stack().workers(workers).endpoints(1), async |stack| {
            ask(stack).await;
            page_is_true(stack.status.unwrap(), 1).await;
        })
        .await;
    }
}

#[tokio::test]
async fn two_gateways_are_one_series() {
    let first = world::stack().workers(2).endpoints(1).secret(SECRET).without_scraper();
    world::tell(first, async |first| {
        let pod = first.pods.first().unwrap().addr;
        let second = world::stack().workers(2).upstreams(vec![pod]).secret(SECRET);
        let second = second.without_scraper().start().await.unwrap();
        let status = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let _scraper = Scraper::start(status.port(), pod, &[first.ingest, second.ingest]);
        for gateway in [first, &second] {
            is_informed(gateway).await;
            ask(gateway).await;
        }
        page_is_true(status, 2).await;
    })
    .await;
}
