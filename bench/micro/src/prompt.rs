//! A prompt, as token ids and as text.

use crate::plan::{Request, TRACE_BLOCK};

/// Number of bytes of text in one token: English runs at about four in real vocabularies.
pub(crate) const TOKEN_BYTES: usize = 4;

/// Bound of the token ids, as in today's vocabularies.
const VOCABULARY: u64 = 1 << 17;

/// A prompt, for indexes that compare text and for those that are given tokens.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) tokens: Vec<u32>,
    /// Text with four letters a token.
    pub(crate) text: String,
}

impl Prompt {
    /// Makes the prompt of a request. The trace says only which blocks are the same; their content
    /// is made up from their numbers.
    pub(crate) fn from_request(request: &Request) -> Self {
        let mut tokens = Vec::with_capacity(request.tokens);
        for block in &request.blocks {
            let count = TRACE_BLOCK.min(request.tokens - tokens.len());
            tokens.extend((0..count as u64).map(|at| token(block << 16 | at)));
        }
        let text = tokens.iter().flat_map(|token| letters(*token)).collect();
        Self { tokens, text }
    }
}

/// Returns a token by splitmix64: any two inputs give unlike outputs.
fn token(seed: u64) -> u32 {
    let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ mixed >> 31) % VOCABULARY) as u32
}

fn letters(token: u32) -> [char; TOKEN_BYTES] {
    [15, 10, 5, 0].map(|shift| {
        let letter = (token >> shift & 31) as u8;
        char::from(if letter < 26 { b'a' + letter } else { b'0' + letter - 26 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_agree_as_far_as_their_blocks_do() {
        let prompt = |blocks: &[u64]| {
            Prompt::from_request(&Request { tokens: 1_100, blocks: blocks.to_vec() })
        };
        let (one, other) = (prompt(&[0, 1, 2]), prompt(&[0, 1, 3]));
        assert_eq!((one.tokens.len(), one.text.len()), (1_100, 4_400));
        assert_eq!(one.tokens[..1_024], other.tokens[..1_024]);
        assert_eq!(one.text[..4_096], other.text[..4_096]);
        assert_ne!(one.tokens[1_024], other.tokens[1_024]);
        assert_ne!(one.text[4_096..4_100], other.text[4_096..4_100]);
    }
}
