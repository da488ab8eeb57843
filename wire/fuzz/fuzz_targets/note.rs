#![no_main]

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(notes) = wire::note::decode(&[b"LPN\x01", data].concat()) {
        let bytes = wire::note::encode(&notes).unwrap();
        assert_eq!(wire::note::decode(&bytes), Ok(notes));
    }
});
