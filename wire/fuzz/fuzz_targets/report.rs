#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(report) = wire::report::Report::decode(data) {
        assert_eq!(wire::report::Report::decode(&report.encode()), Ok(report));
    }
});
