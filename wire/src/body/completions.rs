//! The prompt of a completions request.

use super::{BodyError, Cursor, chat::push};

/// Reads `prompt`: a string, strings, tokens, or lists of tokens. `None` if it is null.
pub(super) fn prompt<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Vec<&'a [u8]>>, BodyError> {
    if cursor.peek() != Some(b'[') {
        let null = cursor.peek() == Some(b'n');
        let piece = cursor.text_or_value()?;
        return Ok((!null).then(|| vec![piece]));
    }
    let mut pieces = Vec::new();
    let mut strings = true;
    let json = cursor.spanned(|cursor| {
        cursor.array(|cursor| {
            strings &= cursor.peek() == Some(b'"');
            let piece = cursor.text_or_value()?;
            if strings {
                push(&mut pieces, piece);
            }
            Ok(())
        })
    })?;
    // Tokens are one piece: a slice for each would take four times the memory of the body.
    Ok(Some(if strings { pieces } else { vec![json] }))
}
