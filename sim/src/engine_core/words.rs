//! The model's words: three letters and a space, four bytes and so one token each.

/// Consonants and vowels of a word: consonant, vowel, consonant.
const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstv";
const VOWELS: &[u8; 4] = b"aeio";

/// Returns the `nth` token of the answer to the prompt with this seed.
#[must_use]
pub fn token(seed: u64, nth: usize) -> u32 {
    let mixed = (seed ^ (nth as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let letter = |set: &[u8], shift: u32| {
        let index = usize::try_from(mixed >> shift).unwrap_or(0) % set.len();
        set.get(index).copied().unwrap_or(b'a')
    };
    u32::from_le_bytes([letter(CONSONANTS, 40), letter(VOWELS, 48), letter(CONSONANTS, 56), b' '])
}

/// Returns the text of a generated token.
#[must_use]
pub fn text(token: u32) -> [char; 4] {
    token.to_le_bytes().map(char::from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_answer_is_made_of_words() {
        let answer: String = (0..5).flat_map(|nth| super::text(super::token(7, nth))).collect();
        insta::assert_snapshot!(answer, @"fep pol man cik von");
    }
}
