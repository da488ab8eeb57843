#![no_main]

use picker_core::Snapshot;

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = wire::snapshot::encode(&Snapshot::default()).unwrap();
    if let Ok(snapshot) = wire::snapshot::decode(&[&head[..4], data].concat()) {
        let bytes = wire::snapshot::encode(&snapshot).unwrap();
        assert_eq!(wire::snapshot::decode(&bytes), Ok(snapshot));
    }
});
