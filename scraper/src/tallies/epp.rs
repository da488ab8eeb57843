//! The list of the EPP's families, which the metrics are held to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use picker_core::{Objective, flow::Priority, saturation::StageSaturations};
use tokio::sync::watch;
use wire::{
    band_limits::BandLimits,
    details::Details,
    reply::{Counts, Reply, WorkerState},
    report::{Queue, Report},
    tally::{
        DisaggDecision, EnqueueOutcome, ErrorCode, Labels, Measure, OwnError, QueueOutcome,
        WorkerTally,
    },
};

use super::Tallies;
use crate::{
    pool::{
        Pod, PodOrigin, PodReadings, PoolView, ScrapeState, ScrapedPod, TimedReading,
        WaitingGateways,
    },
    settings::Objectives,
};

const FAMILIES: &str = include_str!("../../tests/data/epp-families.txt");
/// Page of a pod.
const PAGE: &[u8] =
    b"vllm:num_requests_waiting 1\nvllm:num_requests_running 2\nvllm:kv_cache_usage_perc 0.5\n";
const MODELS: [&str; 4] = ["model_name", "target_model_name", "fairness_id", "priority"];

/// A worker that has counted one of everything.
fn tally() -> WorkerTally {
    let mut tally = WorkerTally::default();
    let request = tally.place(&Labels::request("m", "m", "t", 0), true);
    tally.begin(request);
    for measure in [
        Measure::Requests,
        Measure::Errors(ErrorCode::Internal),
        Measure::Duration,
        Measure::Ttft { streaming: true },
        Measure::PerOutputToken,
        Measure::StreamedTpot,
        Measure::StreamedItl,
        Measure::RequestBytes,
        Measure::ResponseBytes,
        Measure::InputTokens,
        Measure::CachedTokens,
        Measure::OutputTokens,
        Measure::QueueDuration(QueueOutcome::Dispatched),
        Measure::EnqueueDuration(EnqueueOutcome::Queued),
    ] {
        tally.add(request, measure, 1);
    }
    let endpoint = Some(([10, 0, 0, 1], 8000).into());
    for (labels, measure) in [
        (Labels::attempt(endpoint, "m"), Measure::Attempts { sent: true }),
        (Labels::rewrite("r", "m", "n"), Measure::Rewrites),
        (Labels::Pool, Measure::HitRatio),
        (Labels::Pool, Measure::HitBytes),
        (Labels::Pool, Measure::SchedulerDuration),
        (Labels::model("m"), Measure::DisaggDecisions(DisaggDecision::PrefillDecode)),
        (Labels::Pool, Measure::DispatchCycle),
        (Labels::Pool, Measure::RequestProcessing),
        (Labels::Pool, Measure::ResponseProcessing),
        (Labels::plugin("Scorer", "queue-scorer"), Measure::PluginDuration),
        (Labels::Pool, Measure::OwnErrors(OwnError::LostMessage)),
        (Labels::Band(0), Measure::QueueOutcomes(QueueOutcome::Dispatched)),
    ] {
        let set = tally.place(&labels, true);
        tally.add(set, measure, 1);
    }
    let waiting = tally.place(&Labels::waiting("m", "m", "t", 0), true);
    tally.begin(waiting);
    tally.pin(waiting, 9);
    let sent = tally.place(&Labels::sent(([10, 0, 0, 1], 8000).into(), "t", 0), true);
    tally.begin(sent);
    tally.pin(sent, 64);
    tally
}

fn reply() -> Reply {
    let mut counts = Counts {
        workers: vec![WorkerState { epoch: 1, is_alive: true, saturation: Some(1.0), indexed: 1 }],
        ..Counts::default()
    };
    for (_, chunk) in tally().flush(usize::MAX) {
        assert!(counts.add_chunk(0, &chunk, 0));
    }
    let queue = Queue { priority: 0, fairness_id: "t".to_owned(), requests: 1, bytes: 9 };
    let details = Details {
        oldest: vec![Duration::from_secs(1)],
        bands: vec![BandLimits { priority: 0, requests: 4, bytes: 90 }],
        objectives: vec![Objective { name: "o".to_owned(), priority: Priority(0) }],
        version: "0.1.0".to_owned(),
        ..Details::default()
    };
    let report = Report { queues: vec![queue], details, ..Report::default() };
    let stages = StageSaturations { prefill: Some(0.25), decode: Some(1.0) };
    Reply { report, counts, stages, ..Reply::default() }
}

/// The page of a pool with one pod and one gateway.
fn page(has_former: bool) -> String {
    let now = std::time::Instant::now();
    let reading = Some(TimedReading { at: now, reading: wire::metrics::scan(PAGE).unwrap() });
    let state = watch::channel(ScrapeState { tried: true, reading, ..ScrapeState::default() }).1;
    let pod = Arc::new(Pod {
        address: ([10, 0, 0, 1], 8000).into(),
        labels: Vec::new(),
        http2: false,
        origin: PodOrigin::default(),
    });
    let readings = PodReadings {
        pods: [ScrapedPod { pod, state }].into(),
        objectives: Arc::new(Objectives::default()),
        rewrites: [].into(),
        models: watch::channel([].into()).1,
    };
    let readings = watch::channel(Some(readings)).1;
    let pool: Arc<str> = "default".into();
    let view = PoolView { pool: Arc::clone(&pool), readings, waiting: WaitingGateways::new() };
    let tallies = Tallies::default();
    tallies.take(&pool, 7, &reply(), now);
    tallies.write(&[view], now, has_former)
}

/// The names of a sample's labels.
fn labels(sample: &str) -> BTreeSet<&str> {
    let inside = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let (inside, _) = inside.unwrap();
    inside.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect()
}

#[test]
fn every_family_of_the_epp_is_there_with_its_type_labels_and_bounds() {
    let page = page(false);
    let mut families = 0;
    for line in FAMILIES.lines().filter(|line| !line.starts_with('#')) {
        families += 1;
        let (head, bounds) = line.split_once(" : ").unwrap_or((line, ""));
        let mut words = head.split(' ');
        let (short, kind) = (words.next().unwrap(), words.next().unwrap());
        let name = format!("llm_d_epp_{short}");
        assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {page}");
        let suffix = match kind {
            "counter" => "_total",
            "histogram" => "_bucket",
            _ => "",
        };
        let start = format!("{name}{suffix}{{");
        let samples: Vec<&str> = page.lines().filter(|line| line.starts_with(&start)).collect();
        let sample = samples.first().unwrap_or_else(|| panic!("no sample of {name}"));
        let expand = |word| if word == "M" { MODELS.to_vec() } else { vec![word] };
        let wanted: BTreeSet<&str> = words.flat_map(expand).collect();
        assert!(labels(sample).is_superset(&wanted), "{name} lacks one of {wanted:?}: {sample}");
        let le = |sample: &&str| {
            let bound = sample.split_once("le=\"").unwrap().1.split_once('"').unwrap().0;
            bound.parse::<f64>().unwrap().to_string()
        };
        let found: Vec<String> = samples.iter().filter(|_| kind == "histogram").map(le).collect();
        let wanted =
            bounds.split_whitespace().map(|bound| bound.parse::<f64>().unwrap().to_string());
        let wanted: Vec<String> =
            wanted.chain((kind == "histogram").then(|| "inf".to_owned())).collect();
        assert_eq!(found, wanted, "{name}");
    }
    assert!(families > 38, "{families} families");
}

/// The values that a scaler reads: in flight by tenant, what waits by model, saturation by stage, and faults of the picker's own.
#[test]
fn gauges_by_tenant_model_and_stage_have_their_values() {
    let page = page(false);
    for line in [
        "llm_d_epp_inflight_requests{inference_pool=\"default\",endpoint_name=\"10.0.0.1\",namespace=\"\",port=\"8000\",fairness_id=\"t\",priority=\"0\",producer_name=\"inflight-load-producer\"} 1",
        "llm_d_epp_inflight_tokens{inference_pool=\"default\",endpoint_name=\"10.0.0.1\",namespace=\"\",port=\"8000\",fairness_id=\"t\",priority=\"0\",producer_name=\"inflight-load-producer\"} 64",
        "llm_d_epp_flow_control_queue_bytes{inference_pool=\"default\",model_name=\"m\",target_model_name=\"m\",fairness_id=\"t\",priority=\"0\"} 9",
        "llm_d_epp_flow_control_pool_saturation{inference_pool=\"default\",stage=\"effective\"} 1",
        "llm_d_epp_flow_control_pool_saturation{inference_pool=\"default\",stage=\"prefill\"} 0.25",
        "llm_d_epp_flow_control_pool_saturation{inference_pool=\"default\",stage=\"decode\"} 1",
        "llm_picker_own_errors_total{inference_pool=\"default\",kind=\"lost-message\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} is missing: {page}");
    }
}

#[test]
fn former_names_are_there_if_asked_for() {
    let former = [
        "inference_objective_request_total{",
        "inference_pool_ready_pods{",
        "inference_extension_info{",
    ];
    assert!(former.iter().all(|name| page(true).contains(name)), "{}", page(true));
    assert!(former.iter().all(|name| !page(false).contains(name)));
}
