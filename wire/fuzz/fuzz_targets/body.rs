#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for api in [wire::body::Api::ChatCompletions, wire::body::Api::Completions] {
        let _ = wire::body::scan(data, api);
    }
});
