//! Metrics pages.

use wire::metrics::scan;

use crate::mutated;

const NEEDED: &str =
    "vllm:num_requests_waiting 1\nvllm:num_requests_running 2\nvllm:kv_cache_usage_perc 0.5\n";

#[test]
fn labels_may_hold_anything_and_come_in_any_order() {
    let page = format!(
        "{NEEDED}\
         vllm:num_requests_waiting{{model_name=\"a}},\\\"b\\\\\",engine=\"1\"}} 4.0 1700000000000\n\
         vllm:num_requests_waiting_by_reason{{reason=\"capacity\"}} 100\n\
         vllm:num_requests_running{{engine=\"1\"}} NaN\n\
         vllm:kv_cache_usage_perc{{}} 7.5e-1\n\
         vllm:lora_requests_info{{max_lora=\"4\",running_lora_adapters=\"old\",waiting_lora_adapters=\"\"}} 1.7e9\n\
         vllm:lora_requests_info{{waiting_lora_adapters=\"c\",running_lora_adapters=\"a, b\",max_lora=\"2\"}} 1.8e9\n\
         vllm:cache_config_info{{num_gpu_blocks=\"None\",block_size=\"16\"}} 1\n\
         vllm:num_requests_running 50"
    );
    insta::assert_debug_snapshot!(scan(page.as_bytes()).unwrap(), @r#"
    Reading {
        waiting: 5,
        running: 2,
        kv_usage: 0.75,
        cache: None,
        adapters: Some(
            Adapters {
                max: 2,
                running: [
                    "a",
                    "b",
                ],
                waiting: [
                    "c",
                ],
            },
        ),
    }
    "#);
}

#[test]
fn the_older_name_of_the_usage_counts_only_without_the_newer() {
    let old = NEEDED.replace("kv_cache", "gpu_cache");
    assert_eq!(scan(old.as_bytes()).unwrap().kv_usage.to_bits(), 0.5_f32.to_bits());
    let both = format!("vllm:gpu_cache_usage_perc 0.9\n{NEEDED}");
    assert_eq!(scan(both.as_bytes()).unwrap().kv_usage.to_bits(), 0.5_f32.to_bits());
}

#[test]
fn an_engine_of_which_one_is_unknown_does_not_pass_for_idle() {
    let error = scan(b"vllm:num_requests_running 2\nvllm:num_requests_waiting +Inf\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the metrics page has no finite value of vllm:num_requests_waiting, \
         vllm:kv_cache_usage_perc (or vllm:gpu_cache_usage_perc)"
    );
}

#[test]
fn broken_pages_never_panic_and_stay_in_range() {
    let page = include_str!("../data/vllm-0.32.0.txt");
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("vllm:")).take(60).collect();
    let page = format!("{}\n{NEEDED}", lines.join("\n"));
    arbtest::arbtest(|u| {
        if let Ok(reading) = scan(&mutated(u, page.as_bytes())?) {
            assert!((0.0..=1.0).contains(&reading.kv_usage));
        }
        let any: Vec<u8> = u.arbitrary()?;
        let _ = scan(&any);
        Ok(())
    });
}
