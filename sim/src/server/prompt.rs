//! The way from a request body to what the engine needs of it.

use serde::Deserialize;
use serde_json::Value;

use super::error::Refusal;
use crate::{
    Options, Policy,
    engine_core::{Chain, Request, TOKEN_BYTES},
};

/// The API of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Completions,
    Chat,
    /// Anthropic's.
    Messages,
    Responses,
}

/// Tokens of vocabularies that stand for no text; above all packs of ASCII.
const BEGIN: u32 = 0xFFFF_0000;
const HEADER: u32 = 0xFFFF_0001;
const END_OF_TURN: u32 = 0xFFFF_0002;

/// Receiver of a prompt's tokens: the engine's chain, or a list of them.
trait TokenSink {
    fn push(&mut self, token: u32);

    /// Appends text; the first byte starts a token of its own.
    fn push_text(&mut self, text: &str);

    fn is_empty(&self) -> bool;
}

impl TokenSink for Chain {
    fn push(&mut self, token: u32) {
        Self::push(self, token);
    }

    fn push_text(&mut self, text: &str) {
        Self::push_text(self, text);
    }

    fn is_empty(&self) -> bool {
        self.tokens() == 0
    }
}

impl TokenSink for Vec<u32> {
    fn push(&mut self, token: u32) {
        Self::push(self, token);
    }

    fn push_text(&mut self, text: &str) {
        for pack in text.as_bytes().chunks(TOKEN_BYTES) {
            let mut token = [0; TOKEN_BYTES];
            token.iter_mut().zip(pack).for_each(|(to, from)| *to = *from);
            Self::push(self, u32::from_le_bytes(token));
        }
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

/// The fields of a body that have an effect here. Others are ignored, as vLLM ignores unknown ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    prompt: Option<Prompt>,
    messages: Option<Vec<Message>>,
    system: Option<Content>,
    instructions: Option<String>,
    input: Option<Input>,
    previous_response_id: Option<String>,
    tools: Option<Value>,
    max_output_tokens: Option<i64>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    ignore_eos: bool,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    priority: i64,
    cache_salt: Option<String>,
    n: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

/// Input of the Responses API.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Messages(Vec<Message>),
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

/// The form in which the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Stream { include_usage: bool },
}

impl Delivery {
    /// Returns the form by the two fields of a body; `stream_options` mean nothing without
    /// `stream`.
    pub(super) const fn new(stream: bool, options: StreamOptions) -> Self {
        let StreamOptions { include_usage } = options;
        if stream { Self::Stream { include_usage } } else { Self::Whole }
    }
}

/// A request understood.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) delivery: Delivery,
    pub(super) request: Request,
    /// Response that it goes on from.
    pub(super) previous: Option<String>,
}

/// Lookup of the text of an earlier response by its name.
pub(super) type Earlier<'a> = &'a dyn Fn(&str) -> Option<String>;

fn parse(body: &[u8]) -> Result<Body, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::NotJson {
        column: error.column(),
        error: error.to_string().replace('\'', "`"),
    })
}

/// Reads a body. `priority` is the header's, which wins over the body's.
pub(super) fn read(
    options: &Options,
    api: Api,
    body: &[u8],
    priority: Option<i64>,
    earlier: Earlier<'_>,
) -> Result<Ask, Refusal> {
    let body = parse(body)?;
    let model = body.model.clone().unwrap_or_else(|| options.model().to_owned());
    let adapter = adapter(options, &model)?;
    if body.n.is_some_and(|n| n != 1) {
        return Err(Refusal::NotSimulated("n"));
    }
    let root = format!(
        "{}\n{}",
        adapter.unwrap_or_default(),
        body.cache_salt.as_deref().unwrap_or_default()
    );
    let mut prompt = Chain::new(options.block_size, &root);
    match api {
        Api::Completions => tokenize(&mut prompt, body.prompt.as_ref())?,
        Api::Chat | Api::Messages | Api::Responses => {
            if let Some(previous) = &body.previous_response_id {
                let said =
                    earlier(previous).ok_or_else(|| Refusal::NoSuchResponse(previous.clone()))?;
                prompt.push_text(&said);
            }
            render(&mut prompt, &body)?;
        }
    }
    let max_tokens = max_tokens(options, api, &body, prompt.tokens())?;
    let half = options.output_tokens.div_ceil(2);
    let spread = usize::try_from(prompt.digest() % (half as u64 + 1)).unwrap_or(0);
    let priority = priority.unwrap_or(body.priority);
    Ok(Ask {
        delivery: Delivery::new(
            body.stream.unwrap_or(false),
            body.stream_options.unwrap_or_default(),
        ),
        request: Request {
            prompt,
            max_tokens,
            stop_after: (!body.ignore_eos).then_some(half + 2 * spread),
            priority: if options.scheduling_policy == Policy::Priority { priority } else { 0 },
            adapter: adapter.map(str::to_owned),
            is_received: false,
        },
        model,
        previous: body.previous_response_id,
    })
}

/// Returns the tokens of a body's prompt: of its messages, or else of its text.
pub(super) fn tokens(body: &[u8]) -> Result<Vec<u32>, Refusal> {
    let body = parse(body)?;
    let mut tokens = Vec::new();
    if body.messages.is_some() {
        render(&mut tokens, &body)?;
    } else {
        tokenize(&mut tokens, body.prompt.as_ref())?;
    }
    Ok(tokens)
}

/// Returns the LoRA adapter behind a model name, none for the model itself.
pub(super) fn adapter<'a>(options: &'a Options, model: &str) -> Result<Option<&'a str>, Refusal> {
    if options.served_model_name.iter().any(|name| name == model) {
        return Ok(None);
    }
    let adapter = options.lora_modules.iter().find(|lora| lora.name == model);
    adapter.map(|lora| Some(lora.name.as_str())).ok_or_else(|| {
        let loras = options.lora_modules.iter().map(|lora| lora.name.as_str());
        let aliases: Vec<&str> =
            options.served_model_name.iter().map(String::as_str).chain(loras).collect();
        Refusal::NoSuchModel { model: model.to_owned(), aliases: aliases.join(", ") }
    })
}

fn tokenize(chain: &mut impl TokenSink, prompt: Option<&Prompt>) -> Result<(), Refusal> {
    match prompt {
        None => return Err(Refusal::NoPrompt),
        Some(Prompt::Text(text)) => chain.push_text(text),
        Some(Prompt::Tokens(tokens)) => tokens.iter().for_each(|token| chain.push(*token)),
        Some(Prompt::Texts(texts)) => match texts.as_slice() {
            [text] => chain.push_text(text),
            _ => return Err(Refusal::NotSimulated("prompt")),
        },
        Some(Prompt::TokenLists(lists)) => match lists.as_slice() {
            [tokens] => tokens.iter().for_each(|token| chain.push(*token)),
            _ => return Err(Refusal::NotSimulated("prompt")),
        },
    }
    if chain.is_empty() { Err(Refusal::NoPrompt) } else { Ok(()) }
}

/// Applies the chat template: tools first, then every message between special tokens. Content
/// starts a token of its own, so an answer sent back in the next turn hits the blocks that it
/// filled.
fn render(chain: &mut impl TokenSink, body: &Body) -> Result<(), Refusal> {
    chain.push(BEGIN);
    if let Some(tools) = &body.tools {
        chain.push_text(&tools.to_string());
    }
    if let Some(system) = &body.system {
        turn(chain, "system", Some(system));
    }
    if let Some(instructions) = &body.instructions {
        turn(chain, "system", Some(&Content::Text(instructions.clone())));
    }
    match (&body.messages, &body.input) {
        (Some(messages), _) | (None, Some(Input::Messages(messages))) => {
            messages.iter().for_each(|it| turn(chain, &it.role, it.content.as_ref()));
        }
        (None, Some(Input::Text(text))) => turn(chain, "user", Some(&Content::Text(text.clone()))),
        (None, None) => return Err(Refusal::NoMessages),
    }
    chain.push(HEADER);
    chain.push_text("assistant");
    chain.push(HEADER);
    Ok(())
}

fn turn(chain: &mut impl TokenSink, role: &str, content: Option<&Content>) {
    chain.push(HEADER);
    chain.push_text(role);
    chain.push(HEADER);
    match content {
        None => {}
        Some(Content::Text(text)) => chain.push_text(text),
        Some(Content::Parts(parts)) => parts.iter().for_each(|part| chain.push_text(&part.text)),
    }
    chain.push(END_OF_TURN);
}

fn max_tokens(
    options: &Options,
    api: Api,
    body: &Body,
    prompt_tokens: usize,
) -> Result<usize, Refusal> {
    /// Number of tokens that OpenAI gives completions by default; a chat may use all that is left.
    const COMPLETIONS: usize = 16;
    let model_tokens = options.max_model_len;
    let asked = body.max_output_tokens.or(body.max_completion_tokens).or(body.max_tokens);
    if let Some(asked) = asked.filter(|asked| *asked < 1) {
        return Err(Refusal::BadMaxTokens(asked));
    }
    let max = match (asked, api) {
        (Some(asked), _) => usize::try_from(asked).unwrap_or(usize::MAX),
        (None, Api::Completions) => COMPLETIONS,
        (None, Api::Chat | Api::Messages | Api::Responses) => model_tokens,
    };
    if max > model_tokens {
        return Err(Refusal::AnswerTooLong { max_tokens: asked.unwrap_or(0), model_tokens });
    }
    if prompt_tokens >= model_tokens {
        return Err(Refusal::PromptTooLong { tokens: prompt_tokens, model_tokens });
    }
    Ok(max)
}
