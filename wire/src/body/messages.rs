//! The messages of a chat, OpenAI's and Anthropic's.

use super::{
    BodyError, Cursor, PIECES_MAX,
    part::part,
    piece::{Piece, Video},
    sections::Messages,
};

/// Reads `messages`: of each its role and its content. `None` unless it is a list of objects with
/// at least one in it.
pub(super) fn messages<'a>(
    cursor: &mut Cursor<'a>,
    video: Video,
) -> Result<Option<Messages<'a>>, BodyError> {
    if cursor.peek() != Some(b'[') {
        return cursor.value().map(|_| None);
    }
    let mut messages = Messages::default();
    let mut objects = true;
    let mut leads = true;
    cursor.array(|cursor| {
        if cursor.peek() == Some(b'{') {
            let start = messages.pieces.len();
            message(cursor, &mut messages.pieces, video)?;
            let role = messages.pieces.get(start).map(Piece::bytes).unwrap_or_default();
            leads &= role == b"system" || role == b"developer";
            if role == b"user" {
                messages.last_user = Some(start);
            }
            if leads {
                messages.system = messages.pieces.len();
            }
            return Ok(());
        }
        objects = false;
        cursor.value().map(drop)
    })?;
    Ok(Some(messages).filter(|messages| objects && !messages.pieces.is_empty()))
}

/// Reads one message. The role goes in front of the content, whichever key comes first; the calls
/// of tools, which chat templates print too, go behind it.
fn message<'a>(
    cursor: &mut Cursor<'a>,
    pieces: &mut Vec<Piece<'a>>,
    video: Video,
) -> Result<(), BodyError> {
    let start = pieces.len();
    let mut calls = None;
    push(pieces, Piece::Text(b""));
    cursor.object(|cursor, key| {
        match key {
            b"role" => {
                let role = cursor.text_or_value()?;
                if let Some(slot) = pieces.get_mut(start) {
                    *slot = Piece::Text(role);
                }
            }
            b"content" => {
                pieces.truncate(start + 1);
                content(cursor, pieces, video)?;
            }
            b"tool_calls" => calls = Some(cursor.value()?).filter(|json| json.len() > "null".len()),
            _ => cursor.value().map(drop)?,
        }
        Ok(())
    })?;
    if let Some(calls) = calls {
        push(pieces, Piece::Text(calls));
    }
    Ok(())
}

/// Reads a message's content: text, a list of parts, or null beside tool calls.
pub(super) fn content<'a>(
    cursor: &mut Cursor<'a>,
    pieces: &mut Vec<Piece<'a>>,
    video: Video,
) -> Result<(), BodyError> {
    match cursor.peek() {
        Some(b'[') => cursor.array(|cursor| {
            let piece = part(cursor, video)?;
            push(pieces, piece);
            Ok(())
        }),
        Some(b'n') => cursor.value().map(drop),
        _ => {
            let piece = cursor.text_or_value()?;
            push(pieces, Piece::Text(piece));
            Ok(())
        }
    }
}

pub(super) fn push<'a>(pieces: &mut Vec<Piece<'a>>, piece: Piece<'a>) {
    if pieces.len() < PIECES_MAX {
        pieces.push(piece);
    }
}
