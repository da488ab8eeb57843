#![no_main]

use wire::usage::Tail;

// The first byte says where the rest is cut in two: that makes no difference.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let (first, second) = data.split_at(data.len() * usize::from(*cut) / 256);
    let (mut whole, mut halves) = (Tail::default(), Tail::default());
    whole.push(data);
    halves.push(first);
    halves.push(second);
    assert_eq!(whole.usage(), halves.usage());
});
