#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(message) = wire::message::decode(data) {
        assert!(wire::message::encode(&message).is_ok());
    }
});
