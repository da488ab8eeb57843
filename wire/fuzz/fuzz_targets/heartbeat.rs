#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(heartbeat) = wire::heartbeat::decode(data) {
        assert_eq!(wire::heartbeat::decode(&wire::heartbeat::encode(&heartbeat)), Some(heartbeat));
    }
});
