//! The members of a request's body that mean something to the picker.

use std::borrow::Cow;

use super::{
    Api, BodyError, Cursor, Inference, OutputWishes,
    model_key::MODEL_KEY,
    part::{member, text},
    piece::{Piece, Video},
    place::Place,
    sections::{Messages, OPTION_NAMES, Options, Sections},
    session::SessionWords,
    size,
};

/// Reads the value of a key, which comes next, into what is known of the request. The keys `model`
/// and `stream` are read before, and a key without meaning to the API goes to
/// [`RequestFields::read_common`].
pub(super) type ReadField =
    for<'a> fn(&mut RequestFields<'a>, &mut Cursor<'a>, &[u8]) -> Result<(), BodyError>;

/// Fields of a request, as far as they were read. A key that comes again replaces the value before.
#[allow(
    clippy::struct_excessive_bools,
    reason = "two fields of the API, any mix of which is legal"
)]
pub(super) struct RequestFields<'a> {
    /// Size of a video that the prompt refers to.
    pub(super) video: Video,
    model: Option<Cow<'a, [u8]>>,
    place: Place,
    pub(super) cache_salt: Option<&'a [u8]>,
    session: SessionWords<'a>,
    pub(super) goes_on_from: Option<&'a [u8]>,
    pub(super) own_name: Option<&'a [u8]>,
    stream: bool,
    include_usage: bool,
    pub(super) max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    /// Choices that are generated (`n`, `best_of`), the most of those named.
    choices: u64,
    /// True if the reasoning is left out of the answer (vLLM: `include_reasoning`).
    leaves_out_reasoning: bool,
    /// Text in front of the prompt. Kept apart, as are tools and system: these keys may come behind
    /// the prompt, and are hashed in front.
    pub(super) instructions: Option<&'a [u8]>,
    pub(super) tools: Option<&'a [u8]>,
    /// Documents that the chat template prints (vLLM: `documents`).
    documents: Option<&'a [u8]>,
    /// Template of the request's own (vLLM: `chat_template`).
    template: Option<&'a [u8]>,
    /// True if special tokens are put in front of the prompt, where the request says so
    /// (vLLM: `add_special_tokens`).
    special_tokens: Option<&'a [u8]>,
    options: Options<'a>,
    pub(super) system: Vec<Piece<'a>>,
    pub(super) prompt: Option<Messages<'a>>,
}

impl<'a> RequestFields<'a> {
    pub(super) fn new(video: Video) -> Self {
        Self {
            video,
            model: None,
            place: Place::Before(0),
            cache_salt: None,
            session: SessionWords::default(),
            goes_on_from: None,
            own_name: None,
            stream: false,
            include_usage: false,
            max_tokens: None,
            max_completion_tokens: None,
            choices: 1,
            leaves_out_reasoning: false,
            instructions: None,
            tools: None,
            documents: None,
            template: None,
            special_tokens: None,
            options: Options::default(),
            system: Vec::new(),
            prompt: None,
        }
    }

    /// Reads the value of `key`, which comes next, by the API's own `read` where it means something to
    /// the API alone.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        key: &[u8],
        read: ReadField,
    ) -> Result<(), BodyError> {
        match key {
            MODEL_KEY => self.read_model(cursor),
            b"stream" => {
                self.stream = cursor.value()? == b"true";
                Ok(())
            }
            key => read(self, cursor, key),
        }
    }

    fn read_model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), BodyError> {
        let start = cursor.place();
        let model = if cursor.peek() == Some(b'"') {
            Some(cursor.spelled()?)
        } else {
            cursor.value().map(|_| None)?
        };
        // A name that no pool can have names no model, as in a form.
        self.model = model.filter(|model| (1..=size::MODEL_BYTES_MAX).contains(&model.len()));
        self.place = Place::Value(start..cursor.at());
        Ok(())
    }

    /// Reads what every API may have, though only some document it; any other value is checked and
    /// stepped over.
    pub(super) fn read_common(
        &mut self,
        cursor: &mut Cursor<'a>,
        key: &[u8],
    ) -> Result<(), BodyError> {
        match key {
            b"tools" => self.tools = not_null(cursor.value()?),
            b"documents" => self.documents = not_null(cursor.value()?),
            b"chat_template" => self.template = not_null(cursor.value()?),
            b"add_special_tokens" => self.special_tokens = not_null(cursor.value()?),
            b"cache_salt" => self.cache_salt = text(cursor)?,
            b"prompt_cache_key" => self.session.cache_key = text(cursor)?,
            b"metadata" => self.session.read_metadata(cursor)?,
            b"stream_options" => self.include_usage = include_usage(cursor)?,
            b"max_completion_tokens" => {
                self.max_completion_tokens = size::output_tokens(cursor.value()?);
            }
            b"max_tokens" => self.max_tokens = size::output_tokens(cursor.value()?),
            b"n" | b"best_of" => {
                self.choices = self.choices.max(size::choices(cursor.value()?));
            }
            b"include_reasoning" => self.leaves_out_reasoning = cursor.value()? == b"false",
            key => {
                let value = cursor.value()?;
                let option = OPTION_NAMES.iter().position(|name| *name == key);
                if let Some(slot) = option.and_then(|option| self.options.get_mut(option)) {
                    *slot = not_null(value);
                }
            }
        }
        Ok(())
    }

    /// Returns the request, once its whole body was read. `first` is the byte behind the opening
    /// brace, where a model can be put if there is none. `None` for a request that has no prompt and needs
    /// one.
    pub(super) fn finish(mut self, api: Api, first: usize) -> Option<Inference<'a>> {
        if api.no_prompt().is_none() {
            self.prompt.get_or_insert_default();
        }
        let prompts = self.prompt.as_ref().map_or(1, |it| u64::from(it.prompts.max(1)));
        let choices = self.choices.saturating_mul(prompts);
        let (prompt, sections) = self.join_prompt()?;
        let max_tokens = self.max_completion_tokens.or(self.max_tokens);
        Some(Inference {
            model: self.model.map(lossy),
            place: if let Place::Before(_) = self.place {
                Place::Before(first)
            } else {
                self.place
            },
            cache_salt: self.cache_salt,
            session: self.session.word(),
            goes_on_from: self.goes_on_from,
            own_name: self.own_name,
            stream: self.stream,
            include_usage: self.include_usage,
            max_tokens,
            output: OutputWishes::new(max_tokens, choices, self.leaves_out_reasoning),
            prompt,
            sections,
        })
    }

    /// Returns the whole prompt, tools and documents in front of all messages. What changes its very
    /// first tokens comes first.
    fn join_prompt(&mut self) -> Option<(Vec<Piece<'a>>, Sections<'a>)> {
        let Messages { pieces, system, last_user, .. } = self.prompt.take()?;
        // Servers put special tokens in front of what is no chat, and chat templates write their own.
        let default: &[u8] = if last_user.is_some() { b"false" } else { b"true" };
        let special = self.special_tokens.filter(|value| *value != default);
        let before = [self.template, special, self.instructions].into_iter().flatten();
        let mut front: Vec<Piece<'_>> = before.map(Piece::Text).collect();
        let start = front.len();
        front.extend([self.tools, self.documents].into_iter().flatten().map(Piece::Text));
        let tools = start..front.len();
        front.append(&mut self.system);
        let sections = Sections {
            tools,
            system_end: front.len() + system,
            last_user: last_user.map(|piece| front.len() + piece),
            options: self.options,
        };
        if front.is_empty() {
            // Most requests: the list of the prompt is not copied.
            return Some((pieces, sections));
        }
        front.extend(pieces);
        Some((front, sections))
    }
}

/// Returns a value, as it is written, that is not null.
fn not_null(json: &[u8]) -> Option<&[u8]> {
    Some(json).filter(|json| *json != b"null")
}

/// Returns a text as UTF-8.
fn lossy(text: Cow<'_, [u8]>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn include_usage(cursor: &mut Cursor<'_>) -> Result<bool, BodyError> {
    member(cursor, |key| key == b"include_usage").map(|value| value == Some(b"true"))
}
