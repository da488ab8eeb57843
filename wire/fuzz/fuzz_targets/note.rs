#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(notes) = wire::note::decode(data) {
        assert!(wire::note::encode(&notes).is_ok());
    }
});
