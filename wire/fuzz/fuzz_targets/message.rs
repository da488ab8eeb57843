#![no_main]

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(message) = wire::message::decode(&[b"LPM\x01", data].concat()) {
        let bytes = wire::message::encode(&message).unwrap();
        assert_eq!(wire::message::decode(&bytes), Ok(message));
    }
});
