//! The metrics page against a captured one.

use sim::{LoraModule, Options, Server};

use crate::client;

/// A page of vLLM 0.32 under load; `data/README.md` says how it was made.
const REAL: &str = include_str!("../data/vllm-0.32.0-metrics.txt");

/// Families with type and help, and samples with the names of their labels and the bucket bounds,
/// in order, without values.
pub(crate) fn shape(page: &str) -> Vec<String> {
    page.lines()
        .map(|line| if line.starts_with('#') { line.to_owned() } else { sample(line) })
        .collect()
}

fn sample(line: &str) -> String {
    let series = line.rsplit_once(' ').unwrap().0;
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let labels = labels.strip_suffix("\"}").unwrap().split("\",").map(|label| {
        let (label, value) = label.split_once("=\"").unwrap();
        if label == "le" { format!("le={value}") } else { label.to_owned() }
    });
    format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(","))
}

#[test]
fn names_labels_and_order_are_those_of_a_real_page() {
    let server = Server::start(Options { speed: 100.0, ..Options::default() }).unwrap();
    client::stream(server.addr, &[1, 2, 3], 3, |_| ());
    let page = client::get(server.addr, "/metrics");
    assert_eq!(shape(&page), shape(REAL));
    assert!((45_000..60_000).contains(&page.len()), "{} bytes", page.len());
}

#[test]
fn what_was_observed_is_on_the_page() {
    let server = Server::start(Options { speed: 100.0, ..Options::default() }).unwrap();
    let prompt: Vec<u32> = (0..40).collect();
    for _ in 0..2 {
        client::stream(server.addr, &prompt, 3, |_| ());
    }
    let page = client::get(server.addr, "/metrics");
    for line in [
        r#"vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} 80.0"#,
        r#"vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} 32.0"#,
        r#"vllm:generation_tokens_total{engine="0",model_name="tiny"} 6.0"#,
        r#"vllm:time_to_first_token_seconds_count{engine="0",model_name="tiny"} 2.0"#,
        r#"vllm:inter_token_latency_seconds_count{engine="0",model_name="tiny"} 4.0"#,
        r#"vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 2.0"#,
        r#"vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.0"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing");
    }
}

/// As a real vLLM 0.32 answers it, but for the order.
#[test]
fn a_part_of_the_page_can_be_asked_for() {
    let server = Server::start(Options { speed: 100.0, ..Options::default() }).unwrap();
    let names = ["vllm:num_requests_waiting", "vllm:prefix_cache_hits_total", "nothing"];
    let query = names.map(|name| format!("name%5B%5D={name}")).join("&");
    let page = client::get(server.addr, &format!("/metrics/?{query}"));
    insta::assert_snapshot!(page, @r#"
    # HELP vllm:num_requests_waiting Number of requests waiting to be processed.
    # TYPE vllm:num_requests_waiting gauge
    vllm:num_requests_waiting{engine="0",model_name="tiny"} 0.0
    # HELP vllm:prefix_cache_hits_total Prefix cache hits, in terms of number of cached tokens.
    # TYPE vllm:prefix_cache_hits_total counter
    vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} 0.0
    "#);
    let whole = shape(&client::get(server.addr, "/metrics"));
    for path in ["/metrics/", &format!("/metrics?{query}")] {
        assert!(shape(&client::get(server.addr, path)) == whole, "{path} is not whole");
    }
}

#[test]
fn adapters_have_a_series_for_every_combination_seen() {
    let lora = LoraModule { name: "sql".to_owned(), path: "sql".to_owned() };
    let options = Options { lora_modules: vec![lora], speed: 100.0, ..Options::default() };
    let server = Server::start(options).unwrap();
    client::post(server.addr, "/v1/completions", r#"{"model":"sql","prompt":"x","max_tokens":3}"#);
    let page = client::get(server.addr, "/metrics");
    let series = page.lines().filter(|line| line.starts_with("vllm:lora_requests_info"));
    let series: Vec<&str> = series.map(|line| line.split(' ').next().unwrap()).collect();
    insta::assert_snapshot!(series.join("\n"), @r#"
    vllm:lora_requests_info{max_lora="1",running_lora_adapters="",waiting_lora_adapters=""}
    vllm:lora_requests_info{max_lora="1",running_lora_adapters="sql",waiting_lora_adapters=""}
    "#);
}
