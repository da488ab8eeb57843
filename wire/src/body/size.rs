//! Limits on what a request says of its own size: models take no more, whatever a client writes.
//!
//! Every number of a client's choosing comes through here before it is hashed, counted, learnt or
//! compared: tokens of media, and limits on output. An image of 160 bytes that calls itself 65,535
//! pixels wide and high would else take as long to hash as a prompt of 4 MB.

/// Tokens of an image: processors scale larger ones down to this (Qwen2-VL: `max_pixels`, 16,384
/// tokens; others take fewer).
const IMAGE_TOKENS_MAX: u32 = 16_384;

/// Tokens of a video: what processors thin out longer or larger ones to (Qwen2.5-VL: 90 % of 128,000
/// tokens), rounded up to a power of two.
const VIDEO_TOKENS_MAX: u32 = 131_072;

/// Tokens of a sound: 40 minutes at 12.5 tokens a second, which is what Voxtral takes, rounded up to a
/// power of two.
const AUDIO_TOKENS_MAX: u32 = 32_768;

/// Limit on output tokens: no model's context is longer, so that a higher limit means none.
const OUTPUT_TOKENS_MAX: u32 = 1 << 20;

/// Answers to one request: OpenAI takes 128, and vLLM no more than its limit of running requests.
const CHOICES_MAX: u64 = 1_024;

/// Bytes of a model's name: the filter keeps it for as long as the request lives, and the name
/// that was asked for is written into each event of the answer. What is longer no pool serves.
pub const MODEL_BYTES_MAX: usize = 1_024;

/// Pixels that make one token (EPP: token-producer, estimate).
const PIXELS_PER_TOKEN: u64 = 1_024;

/// Characters of a sound's URL or data that make one token (EPP: token-producer, estimate).
const CHARACTERS_PER_TOKEN: usize = 4;

/// Returns the tokens of an image of this width and height.
pub(super) fn image_tokens(size: (u32, u32)) -> u32 {
    let (width, height) = size;
    let tokens = u64::from(width).saturating_mul(u64::from(height)) / PIXELS_PER_TOKEN;
    u32::try_from(tokens).unwrap_or(u32::MAX).min(IMAGE_TOKENS_MAX)
}

/// Returns the tokens of a video of so many frames, each of this width and height.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is below zero or no number counts none, what is beyond u32 counts all"
)]
pub(super) fn video_tokens(frames: f32, size: (u32, u32)) -> u32 {
    (frames.ceil() as u32).saturating_mul(image_tokens(size)).min(VIDEO_TOKENS_MAX)
}

/// Returns the tokens of a sound, by the length of its URL or its data.
pub(super) fn audio_tokens(characters: usize) -> u32 {
    let tokens = characters / CHARACTERS_PER_TOKEN;
    u32::try_from(tokens).unwrap_or(u32::MAX).min(AUDIO_TOKENS_MAX)
}

/// Returns the limit on output tokens that a JSON value spells: a whole number, also as a double or a
/// string, which Python's servers take too. `None` for anything else, as for no limit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from zero to the limit"
)]
pub(super) fn output_tokens(json: &[u8]) -> Option<u64> {
    let text = str::from_utf8(json).ok()?;
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let number: f64 = inside.unwrap_or(text).parse().ok()?;
    if number.is_nan() || number < 0.0 {
        return None;
    }
    let number = number.min(f64::from(OUTPUT_TOKENS_MAX));
    (number.fract() == 0.0).then_some(number as u64)
}

/// Returns the number of answers that one request asks for; 1 where it makes no sense.
pub(super) fn choices(json: &[u8]) -> u64 {
    output_tokens(json).unwrap_or(1).clamp(1, CHOICES_MAX)
}

/// Returns the token id that digits spell, in the 32 bits by which the EPP packs it; one beyond
/// counts as the highest.
pub(super) fn token_id(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |id: u32, digit| {
        id.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_counts_up_to_what_models_take() {
        let sizes = [(0, 9), (640, 360), (4_096, 4_096), (65_535, 65_535), (u32::MAX, u32::MAX)];
        assert_eq!(sizes.map(image_tokens), [0, 225, 16_384, 16_384, 16_384]);
        let frames =
            [20.0, 0.5, 0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e9];
        assert_eq!(
            frames.map(|frames| video_tokens(frames, (640, 360))),
            [4_500, 225, 0, 0, 0, 131_072, 0, 131_072, 131_072]
        );
        assert_eq!(video_tokens(1e30, (u32::MAX, u32::MAX)), 131_072);
        let lengths = [0, 3, 4, 131_072, 131_073, usize::MAX];
        assert_eq!(lengths.map(audio_tokens), [0, 0, 1, 32_768, 32_768, 32_768]);
    }

    #[test]
    fn limits_on_output_are_numbers_up_to_a_context() {
        let limits = ["0", "16", "16.0", "1.6e1", "\"16\"", "-0.0"].map(str::as_bytes);
        assert_eq!(limits.map(output_tokens), [0, 16, 16, 16, 16, 0].map(Some));
        let digits = "9".repeat(100_000);
        let beyond = ["1048577", "18446744073709551615", "1e308", "1e999", &*digits];
        assert_eq!(beyond.map(|json| output_tokens(json.as_bytes())), [Some(1_048_576); 5]);
        let none =
            ["-1", "-1e308", "16.5", "null", "true", "[16]", "\"many\"", "\"NaN\"", "\"", ""];
        assert_eq!(none.map(|json| output_tokens(json.as_bytes())), [None; 10]);
        assert_eq!(output_tokens(b"\xff"), None);
    }

    #[test]
    fn token_ids_are_of_32_bits() {
        let ids: [&[u8]; 4] = [b"7", b"4294967295", b"4294967296", b"18446744073709551617"];
        assert_eq!(ids.map(token_id), [7, u32::MAX, u32::MAX, u32::MAX]);
    }
}
