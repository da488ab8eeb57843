#![no_main]

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = wire::placement_event::encode(&[]).unwrap();
    if let Ok(events) = wire::placement_event::decode(&[&head[..4], data].concat()) {
        let bytes = wire::placement_event::encode(&events).unwrap();
        assert_eq!(wire::placement_event::decode(&bytes), Ok(events));
    }
});
