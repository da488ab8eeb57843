//! The members of a request's body that mean something to the picker.

use std::borrow::Cow;

use super::{
    Api, BodyError, Cursor, Inference, messages, number,
    part::text,
    piece::{Piece, Video},
    place::Place,
    prompt,
    text::unescape,
};

/// What was read so far. A key that comes again replaces what it said before.
#[allow(
    clippy::struct_excessive_bools,
    reason = "two fields of the API, any mix of which is legal"
)]
pub(super) struct Fields<'a> {
    api: Api,
    video: Video,
    model: Option<&'a [u8]>,
    place: Place,
    cache_salt: Option<&'a [u8]>,
    stream: bool,
    include_usage: bool,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    /// Kept apart from the prompt: these keys may come behind it, and are hashed in front.
    instructions: Option<&'a [u8]>,
    tools: Option<&'a [u8]>,
    system: Vec<Piece<'a>>,
    prompt: Option<Vec<Piece<'a>>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(api: Api, video: Video) -> Self {
        Self {
            api,
            video,
            model: None,
            place: Place::Before(0),
            cache_salt: None,
            stream: false,
            include_usage: false,
            max_tokens: None,
            max_completion_tokens: None,
            instructions: None,
            tools: None,
            system: Vec::new(),
            prompt: None,
        }
    }

    /// Reads the value of `key`, which comes next.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'a>, key: &'a [u8]) -> Result<(), BodyError> {
        match &*unescape(key) {
            b"model" => self.read_model(cursor),
            b"stream" => {
                self.stream = cursor.value()? == b"true";
                Ok(())
            }
            key => self.read_of_api(cursor, key),
        }
    }

    fn read_model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), BodyError> {
        let start = cursor.place();
        self.model = text(cursor)?.filter(|model| !model.is_empty());
        self.place = Place::Value(start..cursor.at());
        Ok(())
    }

    /// Reads what not every API has.
    fn read_of_api(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), BodyError> {
        use Api::{
            ChatCompletions, Completions, Conversations, CountTokens, Embeddings, Generate, Images,
            Messages, RenderChat, RenderCompletions, Responses, SglangGenerate,
        };
        match (key, self.api) {
            (b"messages", ChatCompletions | RenderChat | Messages | CountTokens) => {
                self.prompt = messages::messages(cursor, self.video)?;
            }
            // vLLM's embeddings of a chat.
            (b"messages", Embeddings) => {
                let messages = messages::messages(cursor, self.video)?;
                self.prompt = messages.or_else(|| self.prompt.take());
            }
            (b"prompt", Completions | RenderCompletions | Images) => {
                self.prompt = prompt::prompt(cursor)?;
            }
            (b"input", Embeddings) => self.prompt = prompt::prompt(cursor)?,
            (b"input", Responses) | (b"items", Conversations) => {
                self.prompt = prompt::json(cursor)?;
            }
            (b"token_ids", Generate) | (b"input_ids" | b"text", SglangGenerate) => {
                self.prompt = prompt::prompt(cursor)?;
            }
            (b"system", Messages | CountTokens) => {
                self.system = messages::system(cursor, self.video)?;
            }
            (b"instructions", Responses) => self.instructions = text(cursor)?,
            (b"tools", _) => self.tools = Some(cursor.value()?).filter(|json| *json != b"null"),
            _ => return self.read_limit(cursor, key),
        }
        Ok(())
    }

    /// Reads what says how much is wanted, and of whom it may be shared.
    fn read_limit(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), BodyError> {
        match (key, self.api) {
            (b"cache_salt", _) | (b"extra_key", Api::SglangGenerate) => {
                self.cache_salt = text(cursor)?;
            }
            (b"stream_options", _) => self.include_usage = include_usage(cursor)?,
            (b"max_completion_tokens", _) => {
                self.max_completion_tokens = number::whole(cursor.value()?);
            }
            (b"max_output_tokens", Api::Responses) | (b"max_tokens", _) => {
                self.max_tokens = number::whole(cursor.value()?);
            }
            (b"sampling_params", Api::Generate | Api::SglangGenerate) => {
                self.max_tokens = sampling(cursor)?;
            }
            _ => cursor.value().map(drop)?,
        }
        Ok(())
    }

    pub(super) fn finish(mut self, first: usize) -> Result<Inference<'a>, BodyError> {
        let prompt = self.prompt.take().ok_or(BodyError::NoPrompt(self.api))?;
        let before = [self.instructions, self.tools].into_iter().flatten().map(Piece::Text);
        let mut front: Vec<Piece<'_>> = before.chain(self.system).collect();
        let prompt = if front.is_empty() {
            prompt
        } else {
            front.extend(prompt);
            front
        };
        Ok(Inference {
            model: self.model.map(lossy),
            place: match self.place {
                Place::Before(_) => Place::Before(first),
                place @ Place::Value(_) => place,
            },
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

fn include_usage(cursor: &mut Cursor<'_>) -> Result<bool, BodyError> {
    member(cursor, |key| key == b"include_usage").map(|value| value == Some(b"true"))
}

/// The limit on output tokens in vLLM's or SGLang's sampling parameters.
fn sampling(cursor: &mut Cursor<'_>) -> Result<Option<u64>, BodyError> {
    let names: [&[u8]; 2] = [b"max_tokens", b"max_new_tokens"];
    member(cursor, |key| names.contains(&key)).map(|value| number::whole(value?))
}

/// The last member with such a key, as JSON; nothing for what is no object.
fn member<'a>(
    cursor: &mut Cursor<'a>,
    is_it: impl Fn(&[u8]) -> bool,
) -> Result<Option<&'a [u8]>, BodyError> {
    if cursor.peek() != Some(b'{') {
        return cursor.value().map(|_| None);
    }
    let mut found = None;
    cursor.object(|cursor, key| {
        let value = cursor.value()?;
        if is_it(&unescape(key)) {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}
