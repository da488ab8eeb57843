//! Searches of sixteen bytes at once.
//!
//! An answer passes while its client waits for it, so most of its bytes must cost next to nothing.

use wide::u8x16;

/// Bytes that are looked at together.
const LANE: usize = 16;

/// Finds the first quote or backslash: what may end a string.
pub(super) fn quote(bytes: &[u8]) -> Option<usize> {
    position(bytes, |lane| lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\')))
}

/// Finds the first quote, bracket or brace: what may end a value of which nothing is read.
pub(super) fn structure(bytes: &[u8]) -> Option<usize> {
    position(bytes, |lane| {
        // Brackets and braces differ in one bit.
        let folded = lane | u8x16::splat(0x20);
        let is = |byte| folded.simd_eq(u8x16::splat(byte));
        is(b'{') | is(b'}') | lane.simd_eq(u8x16::splat(b'"'))
    })
}

/// True if the bytes may hold the word usage, error or failed; false only if they hold none.
pub(super) fn may_matter(bytes: &[u8]) -> bool {
    // The ends of the words, which few other words have.
    const ENDS: [[u8; 3]; 3] = [*b"age", *b"ror", *b"led"];
    let mut rest = bytes;
    while let Some(first) = rest.first_chunk::<{ LANE + 2 }>() {
        let lane = |at: usize| {
            let lane = first.get(at..).and_then(<[u8]>::first_chunk::<LANE>);
            u8x16::new(lane.copied().unwrap_or_default())
        };
        let (one, two, three) = (lane(0), lane(1), lane(2));
        let is = |[a, b, c]: [u8; 3]| {
            one.simd_eq(u8x16::splat(a))
                & two.simd_eq(u8x16::splat(b))
                & three.simd_eq(u8x16::splat(c))
        };
        let [usage, error, failed] = ENDS.map(is);
        if (usage | error | failed).to_bitmask() != 0 {
            return true;
        }
        rest = rest.get(LANE..).unwrap_or_default();
    }
    rest.windows(3).any(|window| ENDS.iter().any(|end| window == end))
}

fn position(bytes: &[u8], marks: impl Fn(u8x16) -> u8x16) -> Option<usize> {
    let (lanes, rest) = bytes.as_chunks::<LANE>();
    for (index, lane) in lanes.iter().enumerate() {
        let found = marks(u8x16::new(*lane)).to_bitmask();
        if found != 0 {
            return Some(index * LANE + found.trailing_zeros() as usize);
        }
    }
    // Zeros mark nothing.
    let mut last = [0; LANE];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let found = marks(u8x16::new(last)).to_bitmask();
    (found != 0).then(|| lanes.len() * LANE + found.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_search_finds_what_a_loop_finds() {
        arbtest::arbtest(|u| {
            let mut bytes = Vec::new();
            for _ in 0..u.int_in_range(0..=60)? {
                bytes.push(*u.choose(b"ab{}[]\"\\,: 0\xff")?);
            }
            let first = |set: &[u8]| bytes.iter().position(|byte| set.contains(byte));
            assert_eq!(quote(&bytes), first(b"\"\\"));
            assert_eq!(structure(&bytes), first(b"{}[]\""));
            Ok(())
        });
    }

    #[test]
    fn no_word_that_matters_is_passed_over() {
        for word in ["usage", "error", "failed"] {
            for before in 0..50 {
                for after in 0..20 {
                    let text = format!("{}{word}{}", "x".repeat(before), "x".repeat(after));
                    assert!(may_matter(text.as_bytes()), "{text}");
                }
            }
        }
        let usual = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764460800,"model":"tiny","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#;
        assert!(!may_matter(usual.as_bytes()), "a usual event is not read");
    }
}
