#![no_main]

use picker_core::workers::Message;

// The magic and the version come first, which no chance would find.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = wire::message::encode(&Message::Wake).unwrap();
    if let Ok(message) = wire::message::decode(&[&head[..4], data].concat()) {
        let bytes = wire::message::encode(&message).unwrap();
        assert_eq!(wire::message::decode(&bytes), Ok(message));
    }
});
