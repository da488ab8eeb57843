//! The prompt of a chat request.

use super::{BodyError, Cursor, PIECES_MAX, text::unescape};

/// Reads `messages`: for each its role and its content. `None` unless it is a list of objects with
/// at least one in it.
pub(super) fn messages<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Vec<&'a [u8]>>, BodyError> {
    if cursor.peek() != Some(b'[') {
        return cursor.value().map(|_| None);
    }
    let mut pieces = Vec::new();
    let mut objects = true;
    cursor.array(|cursor| {
        if cursor.peek() == Some(b'{') {
            return message(cursor, &mut pieces);
        }
        objects = false;
        cursor.value().map(drop)
    })?;
    Ok(Some(pieces).filter(|pieces| objects && !pieces.is_empty()))
}

/// Reads one message. Its role goes in front of its content, whichever key comes first.
fn message<'a>(cursor: &mut Cursor<'a>, pieces: &mut Vec<&'a [u8]>) -> Result<(), BodyError> {
    let start = pieces.len();
    push(pieces, b"");
    cursor.object(|cursor, key| {
        match &*unescape(key) {
            b"role" => {
                let role = cursor.text_or_value()?;
                if let Some(slot) = pieces.get_mut(start) {
                    *slot = role;
                }
            }
            b"content" => {
                pieces.truncate(start + 1);
                content(cursor, pieces)?;
            }
            _ => cursor.value().map(drop)?,
        }
        Ok(())
    })
}

/// Reads a message's content: text, a list of parts, or null beside tool calls.
fn content<'a>(cursor: &mut Cursor<'a>, pieces: &mut Vec<&'a [u8]>) -> Result<(), BodyError> {
    match cursor.peek() {
        Some(b'[') => cursor.array(|cursor| {
            let piece = part(cursor)?;
            push(pieces, piece);
            Ok(())
        }),
        Some(b'n') => cursor.value().map(drop),
        _ => {
            let piece = cursor.text_or_value()?;
            push(pieces, piece);
            Ok(())
        }
    }
}

/// Reads one part: the text of a text part, else the part's JSON.
fn part<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], BodyError> {
    if cursor.peek() != Some(b'{') {
        return cursor.text_or_value();
    }
    let mut is_text = false;
    let mut text = None;
    let json = cursor.spanned(|cursor| {
        cursor.object(|cursor, key| {
            match &*unescape(key) {
                b"type" => is_text = cursor.text_or_value()? == b"text",
                b"text" if cursor.peek() == Some(b'"') => text = Some(cursor.text("a string")?),
                b"text" => {
                    text = None;
                    cursor.value()?;
                }
                _ => cursor.value().map(drop)?,
            }
            Ok(())
        })
    })?;
    Ok(text.filter(|_| is_text).unwrap_or(json))
}

pub(super) fn push<'a>(pieces: &mut Vec<&'a [u8]>, piece: &'a [u8]) {
    if pieces.len() < PIECES_MAX {
        pieces.push(piece);
    }
}
