//! The way from a request body to what the engine needs of it.

use serde::Deserialize;
use serde_json::Value;

use super::error::Refusal;
use crate::{
    Options, Policy,
    engine_core::{Chain, Request},
};

/// The API of a request, one of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Completions,
    Chat,
}

/// Tokens of vocabularies that stand for no text; above all packs of ASCII.
const BEGIN: u32 = 0xFFFF_0000;
const HEADER: u32 = 0xFFFF_0001;
const END_OF_TURN: u32 = 0xFFFF_0002;

/// The fields of a body that have an effect here. Others are ignored, as vLLM ignores unknown ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    prompt: Option<Prompt>,
    messages: Option<Vec<Message>>,
    tools: Option<Value>,
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

#[derive(Debug, Deserialize)]
struct Message {
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
}

/// Reads a body. `priority` is the header's, which wins over the body's.
pub(super) fn read(
    options: &Options,
    api: Api,
    body: &[u8],
    priority: Option<i64>,
) -> Result<Ask, Refusal> {
    let body: Body = serde_json::from_slice(body).map_err(|error| Refusal::NotJson {
        column: error.column(),
        error: error.to_string().replace('\'', "`"),
    })?;
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
        Api::Chat => render(&mut prompt, &body)?,
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
    })
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

fn tokenize(chain: &mut Chain, prompt: Option<&Prompt>) -> Result<(), Refusal> {
    let mut push = |tokens: &[u32]| tokens.iter().for_each(|token| chain.push(*token));
    match prompt {
        None => return Err(Refusal::NoPrompt),
        Some(Prompt::Text(text)) => chain.push_text(text),
        Some(Prompt::Tokens(tokens)) => push(tokens),
        Some(Prompt::Texts(texts)) => match texts.as_slice() {
            [text] => chain.push_text(text),
            _ => return Err(Refusal::NotSimulated("prompt")),
        },
        Some(Prompt::TokenLists(lists)) => match lists.as_slice() {
            [tokens] => push(tokens),
            _ => return Err(Refusal::NotSimulated("prompt")),
        },
    }
    if chain.tokens() == 0 { Err(Refusal::NoPrompt) } else { Ok(()) }
}

/// Applies the chat template: tools first, then every message between special tokens. Content
/// starts a token of its own, so an answer sent back in the next turn hits the blocks that it
/// filled.
fn render(chain: &mut Chain, body: &Body) -> Result<(), Refusal> {
    let messages = body.messages.as_ref().ok_or(Refusal::NoMessages)?;
    chain.push(BEGIN);
    if let Some(tools) = &body.tools {
        chain.push_text(&tools.to_string());
    }
    for message in messages {
        chain.push(HEADER);
        chain.push_text(&message.role);
        chain.push(HEADER);
        match &message.content {
            None => {}
            Some(Content::Text(text)) => chain.push_text(text),
            Some(Content::Parts(parts)) => {
                parts.iter().for_each(|part| chain.push_text(&part.text));
            }
        }
        chain.push(END_OF_TURN);
    }
    chain.push(HEADER);
    chain.push_text("assistant");
    chain.push(HEADER);
    Ok(())
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
    let asked = body.max_completion_tokens.or(body.max_tokens);
    if let Some(asked) = asked.filter(|asked| *asked < 1) {
        return Err(Refusal::BadMaxTokens(asked));
    }
    let max = match (asked, api) {
        (Some(asked), _) => usize::try_from(asked).unwrap_or(usize::MAX),
        (None, Api::Completions) => COMPLETIONS,
        (None, Api::Chat) => model_tokens,
    };
    if max > model_tokens {
        return Err(Refusal::AnswerTooLong { max_tokens: asked.unwrap_or(0), model_tokens });
    }
    if prompt_tokens >= model_tokens {
        return Err(Refusal::PromptTooLong { tokens: prompt_tokens, model_tokens });
    }
    Ok(max)
}
