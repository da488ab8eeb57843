#![no_main]

use wire::body::{Api, Video, scan};

// The first byte says which API. What is read can be hashed, and takes another model.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let api = Api::ALL[usize::from(*first) % Api::ALL.len()];
    let Ok(inference) = scan(body, api, Video::default()) else { return };
    let mut chainer = picker_core::Chainer::new(&picker_core::Seed::default(), 64);
    inference.prompt.iter().for_each(|piece| piece.chain(&mut chainer));
    assert!(chainer.finish().is_whole());

    let mut edited = body.to_vec();
    inference.place.put(&mut edited, "an\"other");
    let again = scan(&edited, api, Video::default()).expect("an edited body is still one");
    assert_eq!(again.model.as_deref(), Some("an\"other"));
});
