#![no_main]

use wire::response::{Kind, LoadReport, Reader, Renamer};

// The first byte says where the rest is cut in two: that makes no difference.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let (first, second) = data.split_at(data.len() * usize::from(*cut) / 256);
    let (mut whole, mut halves) = (Reader::new(Kind::Events), Reader::new(Kind::Events));
    whole.push(data);
    halves.push(first);
    halves.push(second);
    assert_eq!(whole.usage(), halves.usage());
    assert_eq!((whole.events(), whole.has_failed()), (halves.events(), halves.has_failed()));

    let renamer = || Renamer::new(Kind::Events, "other");
    let (mut whole, mut halves) = (renamer(), renamer());
    let at_once = whole.push(data).unwrap_or_else(|| data.to_vec());
    let mut in_two = halves.push(first).unwrap_or_else(|| first.to_vec());
    in_two.extend(halves.push(second).unwrap_or_else(|| second.to_vec()));
    assert_eq!(at_once, in_two);

    let _ = LoadReport::parse(data);
    let _ = wire::jwt::claim(data, &["sub".to_owned()]);
});
