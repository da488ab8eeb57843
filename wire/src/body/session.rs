//! The words by which clients name a session in a request's body.

use super::{
    BodyError, Cursor,
    part::{member, text},
    text::unescape,
};

/// Words of one request, as far as they were read; escapes as written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SessionWords<'a> {
    /// `prompt_cache_key` of the OpenAI API: clients send the conversation's id, as its prompts begin alike.
    pub(super) cache_key: Option<&'a [u8]>,
    /// `metadata.user_id` of the Anthropic API.
    user_id: Option<&'a [u8]>,
}

/// Sign before the session in a user id of `user_…_account_…_session_…`.
const SESSION_SIGN: &[u8] = b"_session_";

/// Longest word that names a session, in bytes: ids are below a hundred. A longer one names none, so that
/// no request makes the picker hash a second prompt.
const WORD_MAX: usize = 256;

/// Longest user id that is looked into, in bytes: four ids and the names of them.
const USER_ID_MAX: usize = 1_024;

impl<'a> SessionWords<'a> {
    /// Reads `metadata`, which comes next; in the OpenAI API it may name anything else.
    pub(super) fn read_metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), BodyError> {
        // A longer one is not looked into: it is stepped over once, as anything else.
        let json = member(cursor, |key| key == b"user_id")?.filter(|id| id.len() <= USER_ID_MAX);
        let user_id = json.map(|json| text(&mut Cursor::new(json))).transpose()?;
        self.user_id = user_id.flatten();
        Ok(())
    }

    /// Returns the word that names the session; `None` where no word does.
    pub(super) fn word(self) -> Option<String> {
        let named = |word: &&[u8]| !word.is_empty() && word.len() <= WORD_MAX;
        let cache_key = self.cache_key.filter(named).map(lossy);
        cache_key.or_else(|| self.user_id.and_then(of_user_id))
    }
}

/// Returns the session of a user id, which names it in one of the two ways of Claude Code: behind
/// `_session_`, or as `session_id` of an object in the text. A user id without a session says
/// nothing: one person may have several sessions.
fn of_user_id(user_id: &[u8]) -> Option<String> {
    let user_id = unescape(user_id);
    let behind = |at: usize| user_id.get(at + SESSION_SIGN.len()..);
    let plain = user_id.windows(SESSION_SIGN.len()).rposition(|it| it == SESSION_SIGN);
    let word = match plain.and_then(behind) {
        Some(word) => word,
        None => session_id(&user_id)?,
    };
    (!word.is_empty() && word.len() <= WORD_MAX).then(|| lossy(word))
}

/// Returns the `session_id` of an object; `None` of what is none, or no JSON.
fn session_id(json: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(json);
    let session = member(&mut cursor, |key| key == b"session_id").ok()??;
    text(&mut Cursor::new(session)).ok()?
}

fn lossy(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}
