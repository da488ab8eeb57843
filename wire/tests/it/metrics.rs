//! Metrics pages.

use std::sync::Arc;

use wire::metrics::{Engine, Engines, Scanner, Spec, Unfit, scan};

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
         vllm:prefix_cache_queries_total{{engine=\"0\"}} 1.0e3\n\
         vllm:prefix_cache_queries_total{{engine=\"1\"}} 500.0\n\
         vllm:gpu_prefix_cache_hits_total 7.0\n\
         vllm:prefix_cache_hits_total{{engine=\"1\"}} 600.0\n\
         vllm:external_prefix_cache_hits_total{{engine=\"1\"}} 9.0\n\
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
        prefixes: Some(
            PrefixUse {
                queried: 1500,
                cached: 600,
            },
        ),
        started_ms: None,
        model: Some(
            "a},\"b\\",
        ),
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
        attributes: [],
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

#[test]
fn custom_metrics_have_keys_of_their_own() {
    let metric = |key: &str, spec: &str| (key.to_owned(), spec.parse::<Spec>().unwrap());
    let custom = vec![metric("load", "my:load{kind=a}"), metric("absent", "my:other")];
    let mut scanner = Scanner::new(Arc::new(Engine { custom, ..Engine::vllm() }));
    for value in ["3.5", "12.25"] {
        let page = format!(
            "{NEEDED}my:load{{kind=\"b\"}} 9\nmy:load{{kind=\"a\"}} {value}\nmy:load{{kind=\"a\",n=\"2\"}} 7\n"
        );
        let attributes = scanner.scan(page.as_bytes()).unwrap().attributes;
        assert_eq!(attributes, [("load".to_owned(), value.parse().unwrap())], "the first of them");
    }
}

/// Pages of engines other than vLLM, as their documentation has them.
#[test]
fn every_known_engine_is_read() {
    let pages = [
        (
            "sglang",
            "sglang:num_queue_reqs{model_name=\"m\",tp_rank=\"0\",pp_rank=\"0\",dp_rank=\"0\"} 3.0\n\
             sglang:num_queue_reqs{model_name=\"m\",tp_rank=\"0\",pp_rank=\"0\",dp_rank=\"1\"} 1.0\n\
             sglang:num_queue_reqs{model_name=\"m\",tp_rank=\"1\",pp_rank=\"0\",dp_rank=\"0\"} 3.0\n\
             sglang:num_running_reqs{model_name=\"m\",tp_rank=\"0\",pp_rank=\"0\"} 7.0\n\
             sglang:token_usage{model_name=\"m\",tp_rank=\"0\",pp_rank=\"0\"} 0.25\n\
             sglang:prompt_tokens_total{model_name=\"m\"} 1000.0\n\
             sglang:cached_tokens_total{model_name=\"m\",cache_source=\"device\"} 200.0\n\
             sglang:cached_tokens_total{model_name=\"m\",cache_source=\"host\"} 50.0\n\
             sglang:cache_config_info{page_size=\"64\",num_pages=\"100\"} 1.0\n",
        ),
        (
            "trtllm-serve",
            "trtllm_num_requests_waiting{model_name=\"m\"} 3.0\n\
             trtllm_num_requests_running{model_name=\"m\"} 7.0\n\
             trtllm_kv_cache_utilization{model_name=\"m\"} 0.25\n\
             trtllm_kv_cache_tokens_per_block{model_name=\"m\"} 32.0\n\
             trtllm_kv_cache_max_blocks{model_name=\"m\"} 100.0\n\
             trtllm_prompt_tokens_total{model_name=\"m\"} 1000.0\n\
             trtllm_prompt_cached_tokens_total{model_name=\"m\"} 250.0\n",
        ),
        (
            "triton-tensorrt-llm",
            "nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\",version=\"1\"} 3\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"context\",version=\"1\"} 9\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"scheduled\",version=\"1\"} 7\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\",model=\"m\"} 0.25\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\",model=\"m\"} 64\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\",model=\"m\"} 100\n",
        ),
        (
            "triton",
            "nv_inference_pending_request_count{model=\"m\",version=\"1\"} 3\n\
             nv_inference_exec_count{model=\"m\",version=\"1\"} 7\n",
        ),
    ];
    let engines = Engines::default();
    let said = pages.map(|(name, page)| {
        let engine = engines.for_labels(&[("llm-d.ai/engine-type".to_owned(), name.to_owned())]);
        assert_eq!(engine.name, name);
        let it = Scanner::new(engine).scan(page.as_bytes()).unwrap();
        let cache = it.cache.map(|cache| (cache.block_tokens, cache.blocks));
        let prefixes = it.prefixes.map(|it| (it.queried, it.cached));
        format!("{name}: {} {} {} {cache:?} {prefixes:?}", it.waiting, it.running, it.kv_usage)
    });
    insta::assert_snapshot!(said.join("\n"), @"
        sglang: 4 7 0.25 Some((64, 100)) Some((1000, 250))
        trtllm-serve: 3 7 0.25 Some((32, 100)) Some((1000, 250))
        triton-tensorrt-llm: 3 7 0.25 Some((64, 100)) None
        triton: 3 0 0 None None
        ");
}

#[test]
fn every_generation_of_vllm_is_read() {
    let pages = [
        ("0.16.0", include_str!("../data/vllm-0.16.0.txt")),
        ("0.32.0", include_str!("../data/vllm-0.32.0.txt")),
        ("0.32.0 of two API servers", include_str!("../data/vllm-0.32.0-api2.txt")),
        ("0.32.0 of two engines", include_str!("../data/vllm-0.32.0-dp2.txt")),
    ];
    let said = pages.map(|(version, page)| {
        let it = scan(page.as_bytes()).unwrap();
        let cache = it.cache.map(|cache| (cache.block_tokens, cache.blocks));
        let prefixes = it.prefixes.map(|it| (it.queried, it.cached));
        format!("{version}: {} {} {} {cache:?} {prefixes:?}", it.waiting, it.running, it.kv_usage)
    });
    insta::assert_snapshot!(said.join("\n"), @"
        0.16.0: 22 8 0.18199609 Some((32, 512)) Some((75331, 36576))
        0.32.0: 24 8 0.18590999 Some((32, 512)) Some((71886, 35552))
        0.32.0 of two API servers: 24 8 0.18786693 Some((32, 512)) Some((18771, 8928))
        0.32.0 of two engines: 16 16 0.19569471 Some((32, 2048)) Some((18760, 8640))
        ");
}

#[test]
fn an_engine_that_sleeps_takes_no_requests() {
    let asleep = "vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 0.0\n";
    let awake = asleep.replace("0.0", "1.0");
    assert!(scan(format!("{NEEDED}{awake}").as_bytes()).is_ok());
    assert_eq!(scan(format!("{NEEDED}{asleep}").as_bytes()), Err(Unfit::Asleep));
}

#[test]
fn real_pages_say_when_the_engine_began_to_count() {
    let began = |page: &str| scan(page.as_bytes()).unwrap().started_ms;
    assert_eq!(began(include_str!("../data/vllm-0.16.0.txt")), Some(1_795_334_975_582));
    let latest = began(include_str!("../data/vllm-0.32.0-dp2.txt")).unwrap();
    assert!((1_795_334_376_850..1_795_336_000_000).contains(&latest), "{latest}");
    assert_eq!(began(include_str!("../data/vllm-0.32.0-api2.txt")), None, "several API servers");
}

#[test]
fn the_model_is_read_whatever_the_order_of_the_series() {
    let model = |names: &[&str]| {
        let series =
            |name: &&str| format!("vllm:num_requests_waiting{{model_name=\"{name}\"}} 0\n");
        let page: String = names.iter().map(series).collect();
        scan(format!("{page}{NEEDED}").as_bytes()).unwrap().model
    };
    assert_eq!(model(&[]), None);
    assert_eq!(model(&["a"]).as_deref(), Some("a"));
    assert_eq!(model(&["a", "b"]), model(&["b", "a", "a"]), "several engines behind one page");
    assert_eq!(model(&["a", &"x".repeat(1_025)]).as_deref(), Some("a"), "too long");
    let real = scan(include_str!("../data/vllm-0.32.0-dp2.txt").as_bytes()).unwrap();
    assert_eq!(real.model.as_deref(), Some("tiny"));
}

#[test]
fn only_an_engine_that_is_known_to_select_is_asked_for_a_part() {
    let selection = Engine::vllm().selection().unwrap().replace("name%5B%5D=", "");
    insta::assert_snapshot!(selection.replace(['?', '&'], "\n"), @"
    /metrics/
    vllm:num_requests_waiting
    vllm:num_requests_running
    vllm:kv_cache_usage_perc
    vllm:gpu_cache_usage_perc
    vllm:prefix_cache_queries_total
    vllm:gpu_prefix_cache_queries_total
    vllm:prefix_cache_hits_total
    vllm:gpu_prefix_cache_hits_total
    vllm:prefix_cache_queries_created
    vllm:gpu_prefix_cache_queries_created
    vllm:lora_requests_info
    vllm:engine_sleep_state
    vllm:cache_config_info
    ");
    let others = Engine::known().into_iter().filter(|engine| engine.name != "vllm");
    assert!(others.map(|engine| engine.selection()).all(|it| it.is_none()));
}

#[test]
fn an_engine_can_be_described() {
    let spec = |text: &str| text.parse::<Spec>().unwrap();
    let mine = Engine {
        name: "mine".to_owned(),
        waiting: vec![spec("queue{kind=\"waiting\"}")],
        running: vec![spec("queue{kind=running}")],
        kv_usage: vec![spec("kv")],
        ..Engine::default()
    };
    let page = b"queue{kind=\"running\"} 2\nqueue{kind=\"waiting\"} 1\nkv 0.5\nqueued 7\n";
    let read = Scanner::new(Arc::new(mine.clone())).scan(page).unwrap();
    assert_eq!((read.waiting, read.running), (1, 2));
    for wrong in ["", "a b", "a{", "a{b}", "a{b=c", "{b=c}"] {
        assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
    }
    assert!(Engines::new(vec![mine.clone()], "mine", None).is_ok());
    let why = Engines::new(vec![mine], "other", None).unwrap_err();
    assert!(
        why.starts_with("must be a known engine, not \"other\"; allowed: mine, vllm, sglang"),
        "{why}"
    );
}

/// A law: where numbers change their length, and lines come and go between families, a scanner that
/// remembers reads what one reads that does not: at once for what was there, and within a second
/// for a family that is new.
#[test]
fn what_is_remembered_is_never_wrong() {
    let lines: Vec<&str> = include_str!("../data/vllm-0.32.0-dp2.txt").lines().collect();
    arbtest::arbtest(|u| {
        let mut scanner = Scanner::new(Arc::new(Engine::vllm()));
        let (mut cut, mut added) = (0, 0);
        while !u.is_empty() {
            if u.ratio(1, 4)? {
                cut = u.int_in_range(0..=40)?;
                added = u.int_in_range(0..=3)?;
            }
            let mut page = String::new();
            for line in &lines[cut..] {
                match line.strip_suffix(" 0.0").or_else(|| line.strip_suffix(" 1.0")) {
                    Some(series) if series.starts_with("vllm:num_requests") => {
                        let value: u16 = u.arbitrary()?;
                        page.push_str(&format!("{series} {value}.0\n"));
                    }
                    _ => page.push_str(&format!("{line}\n")),
                }
                if line.starts_with("# TYPE vllm:num_requests_running") {
                    let one = "vllm:num_requests_running{engine=\"9\"} 3.0\n";
                    page.push_str(&one.repeat(added));
                }
            }
            assert_eq!(scanner.scan(page.as_bytes()), scan(page.as_bytes()));
        }
        Ok(())
    });
}

#[test]
fn a_family_that_appears_is_seen_within_twenty_pages() {
    let mut scanner = Scanner::new(Arc::new(Engine::vllm()));
    let lora = "vllm:lora_requests_info{max_lora=\"1\",running_lora_adapters=\"a\"} 1.7e9\n";
    let page = format!("# a page\n{NEEDED}");
    scanner.scan(page.as_bytes()).unwrap();
    let later = format!("{page}{lora}");
    let mut seen = (1..=20).map(|_| scanner.scan(later.as_bytes()).unwrap().adapters.is_some());
    assert!(seen.any(|seen| seen));
}

/// A server that starts shows a page without its engine at first; a sleeping one wakes.
#[test]
fn a_page_that_becomes_fit_is_read_at_once() {
    let asleep = "vllm:engine_sleep_state{sleep_state=\"awake\"} 0\n";
    for unfit in ["", "<html>", &NEEDED[..30], &format!("{NEEDED}{asleep}")] {
        let mut scanner = Scanner::new(Arc::new(Engine::vllm()));
        for _ in 0..3 {
            assert!(scanner.scan(unfit.as_bytes()).is_err());
            assert!(scanner.scan(NEEDED.as_bytes()).is_ok(), "after {unfit:?}");
        }
    }
}
