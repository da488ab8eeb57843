//! Parts of a message's content.

use super::{
    BodyError, Cursor,
    piece::{Piece, Video},
    size,
};

/// Members of a part, as far as they were read.
#[derive(Default)]
struct ContentPart<'a> {
    kind: &'a [u8],
    text: Option<&'a [u8]>,
    /// URL or data of a part that is no text.
    source: Option<&'a [u8]>,
}

/// Reads one part: the text of a text part, an image, a video or a sound, else the part's JSON.
pub(super) fn part<'a>(cursor: &mut Cursor<'a>, video: Video) -> Result<Piece<'a>, BodyError> {
    if cursor.peek() != Some(b'{') {
        return cursor.text_or_value().map(Piece::Text);
    }
    let mut part = ContentPart::default();
    let json = cursor.spanned(|cursor| cursor.object(|cursor, key| part.read(cursor, key)))?;
    Ok(part.piece(video).unwrap_or(Piece::Text(json)))
}

impl<'a> ContentPart<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), BodyError> {
        match key {
            b"type" => self.kind = cursor.text_or_value()?,
            b"text" => self.text = text(cursor)?,
            b"image_url" | b"video_url" | b"audio_url" | b"input_audio" | b"source" => {
                self.source = source(cursor)?;
            }
            _ => cursor.value().map(drop)?,
        }
        Ok(())
    }

    /// Returns the piece of a part by OpenAI's kinds, vLLM's for video and audio, and Anthropic's;
    /// `None` for other kinds.
    fn piece(&self, video: Video) -> Option<Piece<'a>> {
        match self.kind {
            b"text" => self.text.map(Piece::Text),
            b"image_url" | b"image" => self.source.map(Piece::image),
            b"video_url" => self.source.map(|url| Piece::Media(url, video.tokens)),
            b"audio_url" | b"input_audio" => self.source.map(Piece::audio),
            _ => None,
        }
    }
}

/// Reads a string, or nothing for a value of another type.
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, BodyError> {
    if cursor.peek() == Some(b'"') {
        return cursor.text().map(Some);
    }
    cursor.value().map(|_| None)
}

/// Reads the last member with such a key, as JSON; nothing for what is no object.
pub(super) fn member<'a>(
    cursor: &mut Cursor<'a>,
    is_it: impl Fn(&[u8]) -> bool,
) -> Result<Option<&'a [u8]>, BodyError> {
    if cursor.peek() != Some(b'{') {
        return cursor.value().map(|_| None);
    }
    let mut found = None;
    cursor.object(|cursor, key| {
        let value = cursor.value()?;
        if is_it(key) {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads the most tokens of output that an object of settings allows, by any of these names: of all answers together,
/// where it asks for several.
pub(super) fn output_limit(
    cursor: &mut Cursor<'_>,
    names: &[&[u8]],
) -> Result<Option<u64>, BodyError> {
    if cursor.peek() != Some(b'{') {
        return cursor.value().map(|_| None);
    }
    let (mut limit, mut choices) = (None, 1);
    cursor.object(|cursor, key| {
        let value = cursor.value()?;
        match key {
            b"n" | b"best_of" | b"candidateCount" => choices = choices.max(size::choices(value)),
            key if names.contains(&key) => limit = size::output_tokens(value),
            _ => (),
        }
        Ok(())
    })?;
    Ok(limit.map(|limit: u64| limit.saturating_mul(choices)))
}

/// Reads a URL or data: the string itself, or within an object.
fn source<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, BodyError> {
    if cursor.peek() != Some(b'{') {
        return text(cursor);
    }
    let mut source = None;
    cursor.object(|cursor, key| {
        match key {
            b"url" | b"data" => source = text(cursor)?,
            _ => cursor.value().map(drop)?,
        }
        Ok(())
    })?;
    Ok(source)
}
