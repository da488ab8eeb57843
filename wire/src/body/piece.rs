//! The pieces that a prompt is made of, and the tokens that media count.

use picker_core::{BLOCK_BYTES, Chainer};

use super::{image, size};

/// Piece of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text with its escapes as written, or JSON.
    Text(&'a [u8]),
    /// JSON list of token ids.
    Tokens(&'a [u8]),
    /// Image, video or sound: the bytes that tell it from another, and the number of tokens that it
    /// counts.
    Media(&'a [u8], u32),
}

/// Number of tokens that a video counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// Tokens of all its frames.
    pub tokens: u32,
}

impl Default for Video {
    /// Returns a video that says nothing of itself.
    fn default() -> Self {
        Self::of(Self::SECONDS, Self::FRAMES_PER_SECOND, Self::SIZE)
    }
}

impl Video {
    /// Seconds of a video that does not say its length (EPP: token-producer, estimate).
    pub const SECONDS: f32 = 10.0;
    /// Frames a second of a video that does not say its rate.
    pub const FRAMES_PER_SECOND: f32 = 2.0;
    /// Width and height of a video that does not say its size.
    pub const SIZE: (u32, u32) = image::DEFAULT;

    /// Returns a video of this length, rate and size, up to what models take.
    #[must_use]
    pub fn of(seconds: f32, frames_per_second: f32, size: (u32, u32)) -> Self {
        Self { tokens: size::video_tokens(seconds * frames_per_second, size) }
    }
}

impl<'a> Piece<'a> {
    /// Returns an image by its URL; an image within the URL says its size.
    pub(super) fn image(url: &'a [u8]) -> Self {
        Self::Media(url, size::image_tokens(image::size(url).unwrap_or(image::DEFAULT)))
    }

    /// Returns a sound by its URL or its data (EPP: a quarter of its length).
    pub(super) fn audio(data: &'a [u8]) -> Self {
        Self::Media(data, size::audio_tokens(data.len()))
    }

    /// Returns the bytes by which the piece is told from another.
    pub(super) const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(bytes) | Self::Tokens(bytes) | Self::Media(bytes, _) => bytes,
        }
    }

    /// Appends the piece to a prompt's chain.
    pub fn chain(&self, chainer: &mut Chainer) {
        match self {
            Self::Text(text) => chainer.update(text),
            Self::Tokens(json) => chain_tokens(json, chainer),
            Self::Media(identity, tokens) => chainer.update_media(identity, *tokens),
        }
    }
}

/// Appends token ids as 32 bits each, little-endian, as the EPP packs them: a block is 64 of them,
/// however many digits they have.
fn chain_tokens(json: &[u8], chainer: &mut Chainer) {
    let mut block = [0; BLOCK_BYTES];
    let mut len = 0;
    let numbers = json.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    for digits in numbers {
        let id = size::token_id(digits);
        if let Some(room) = block.get_mut(len..len + 4) {
            room.copy_from_slice(&id.to_le_bytes());
        }
        len += 4;
        if len == BLOCK_BYTES {
            chainer.update(&block);
            len = 0;
        }
    }
    chainer.update(block.get(..len).unwrap_or_default());
}
