//! The members of a request's body that mean something to the picker.

use std::borrow::Cow;

use super::{Api, BodyError, Cursor, Inference, chat, completions, number, text::unescape};

/// What was read so far. A key that comes again replaces what it said before.
#[derive(Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two fields of the API, any mix of which is legal"
)]
pub(super) struct Fields<'a> {
    model: Option<&'a [u8]>,
    cache_salt: Option<&'a [u8]>,
    stream: bool,
    include_usage: bool,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    /// Kept apart from the prompt: the key may come behind `messages`, and is hashed in front.
    tools: Option<&'a [u8]>,
    prompt: Option<Vec<&'a [u8]>>,
}

impl<'a> Fields<'a> {
    /// Reads the value of `key`, which comes next.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        key: &'a [u8],
        api: Api,
    ) -> Result<(), BodyError> {
        match (&*unescape(key), api) {
            (b"messages", Api::ChatCompletions) => self.prompt = chat::messages(cursor)?,
            (b"tools", Api::ChatCompletions) => {
                self.tools = Some(cursor.value()?).filter(|json| *json != b"null");
            }
            (b"max_completion_tokens", Api::ChatCompletions) => {
                self.max_completion_tokens = number::whole(cursor.value()?);
            }
            (b"prompt", Api::Completions) => self.prompt = completions::prompt(cursor)?,
            (b"model", _) => self.model = optional_text(cursor)?,
            (b"cache_salt", _) => self.cache_salt = optional_text(cursor)?,
            (b"stream", _) => self.stream = cursor.value()? == b"true",
            (b"stream_options", _) => self.include_usage = include_usage(cursor)?,
            (b"max_tokens", _) => self.max_tokens = number::whole(cursor.value()?),
            _ => cursor.value().map(drop)?,
        }
        Ok(())
    }

    pub(super) fn finish(self, api: Api) -> Result<Inference<'a>, BodyError> {
        let missing = match api {
            Api::ChatCompletions => BodyError::NoMessages,
            Api::Completions => BodyError::NoPrompt,
        };
        let mut prompt = self.prompt.ok_or(missing)?;
        if let Some(tools) = self.tools {
            prompt.insert(0, tools);
        }
        let model = self.model.filter(|model| !model.is_empty()).ok_or(BodyError::NoModel)?;
        Ok(Inference {
            model: lossy(model),
            cache_salt: self.cache_salt,
            stream: self.stream,
            include_usage: self.include_usage,
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            prompt,
        })
    }
}

/// What a string spells, as UTF-8.
fn lossy(raw: &[u8]) -> Cow<'_, str> {
    match unescape(raw) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// A string, or nothing for a value of another type.
fn optional_text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, BodyError> {
    if cursor.peek() == Some(b'"') {
        return cursor.text("a string").map(Some);
    }
    cursor.value().map(|_| None)
}

fn include_usage(cursor: &mut Cursor<'_>) -> Result<bool, BodyError> {
    let mut include = false;
    if cursor.peek() != Some(b'{') {
        return cursor.value().map(|_| false);
    }
    cursor.object(|cursor, key| {
        let value = cursor.value()?;
        if *unescape(key) == *b"include_usage" {
            include = value == b"true";
        }
        Ok(())
    })?;
    Ok(include)
}
