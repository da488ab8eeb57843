#![no_main]

use wire::kubernetes::{EndpointSlice, InferenceModelRewrite, InferenceObjective, InferencePool, Pod};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(object) = serde_json::from_slice(data) else { return };
    let ports = InferencePool::read(&object).map(|pool| pool.target_ports);
    if let Some(pod) = Pod::read(&object) {
        assert!(pod.labels.is_sorted() && pod.labels.len() < wire::snapshot::LABELS_MAX);
        pod.ports(&ports.unwrap_or_else(|_| vec![8000]));
    }
    let _ = EndpointSlice::read(&object).map(|slice| slice.addresses(None));
    let _ = InferenceObjective::read(&object).map(|it| it.is_of("a"));
    let _ = InferenceModelRewrite::read(&object).map(|it| it.is_of("a"));
});
