//! A prompt that is no chat: text, texts or tokens.

use super::{BodyError, Cursor, messages::push, piece::Piece, sections::Messages};

/// Reads a string, strings, tokens, or lists of tokens. `None` for null.
pub(super) fn prompt<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Messages<'a>>, BodyError> {
    if cursor.peek() != Some(b'[') {
        let null = cursor.peek() == Some(b'n');
        let piece = cursor.text_or_value()?;
        return Ok((!null).then(|| vec![Piece::Text(piece)].into()));
    }
    let mut pieces = Vec::new();
    let mut strings = true;
    let mut prompts: u32 = 0;
    let json = cursor.spanned(|cursor| {
        cursor.array(|cursor| {
            strings &= cursor.peek() == Some(b'"');
            prompts = prompts.saturating_add(matches!(cursor.peek(), Some(b'"' | b'[')).into());
            let piece = cursor.text_or_value()?;
            if strings {
                push(&mut pieces, Piece::Text(piece));
            }
            Ok(())
        })
    })?;
    // Tokens are one piece: a slice for each would take four times the memory of the body.
    let pieces = if strings { pieces } else { vec![Piece::Tokens(json)] };
    Ok(Some(Messages { prompts, ..pieces.into() }))
}

/// Reads any value but null as it is written: a string's inside, else JSON.
pub(super) fn json<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Messages<'a>>, BodyError> {
    let null = cursor.peek() == Some(b'n');
    let piece = cursor.text_or_value()?;
    Ok((!null).then(|| vec![Piece::Text(piece)].into()))
}
