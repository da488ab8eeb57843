#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(row) = wire::row::decode(data) {
        assert_eq!(wire::row::decode(&wire::row::encode(&row)), Some(row));
    }
});
