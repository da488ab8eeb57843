#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(snapshot) = wire::snapshot::decode(data) {
        assert!(wire::snapshot::encode(&snapshot).is_ok());
    }
});
