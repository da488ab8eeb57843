#![no_main]

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = wire::note::encode(&[]).unwrap();
    if let Ok(notes) = wire::note::decode(&[&head[..4], data].concat()) {
        let bytes = wire::note::encode(&notes).unwrap();
        assert_eq!(wire::note::decode(&bytes), Ok(notes));
    }
});
