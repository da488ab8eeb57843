#![no_main]

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(snapshot) = wire::snapshot::decode(&[b"LPS\x02", data].concat()) {
        let bytes = wire::snapshot::encode(&snapshot).unwrap();
        assert_eq!(wire::snapshot::decode(&bytes), Ok(snapshot));
    }
});
