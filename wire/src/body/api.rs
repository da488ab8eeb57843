//! Which API a request speaks, by its path.

/// The APIs whose bodies are read (EPP: openai-, anthropic-, vllmhttp- and sglanghttp-parser).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// OpenAI `chat/completions`: the prompt is in `messages`.
    ChatCompletions,
    /// OpenAI `completions`: the prompt is in `prompt`.
    Completions,
    /// OpenAI `embeddings`: the prompt is in `input`.
    Embeddings,
    /// OpenAI `responses`: the prompt is in `input`, behind `instructions` and `tools`.
    Responses,
    /// OpenAI `conversations`: the prompt is in `items`.
    Conversations,
    /// OpenAI `images/generations`: the prompt is in `prompt`.
    Images,
    /// vLLM's `chat/completions/render`: tokens for a chat request, without running it.
    RenderChat,
    /// vLLM's `completions/render`.
    RenderCompletions,
    /// Anthropic `messages`: the prompt is in `messages`, behind `tools` and `system`.
    Messages,
    /// Anthropic `messages/count_tokens`.
    CountTokens,
    /// vLLM's `inference/v1/generate`: the prompt is in `token_ids`.
    Generate,
    /// SGLang's `generate`: the prompt is in `input_ids` or `text`.
    SglangGenerate,
}

/// Reads the bodies of some APIs (EPP: the parsers that `requestHandler` names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// `openai-parser`.
    OpenAi,
    /// `anthropic-parser`.
    Anthropic,
    /// `vllmhttp-parser`.
    Vllm,
    /// `sglanghttp-parser`.
    Sglang,
    /// `passthrough-parser`, which reads none.
    Passthrough,
}

impl Parser {
    /// By their types in an EndpointPickerConfig.
    pub(crate) const NAMED: [(&str, Self); 5] = [
        ("openai-parser", Self::OpenAi),
        ("anthropic-parser", Self::Anthropic),
        ("vllmhttp-parser", Self::Vllm),
        ("sglanghttp-parser", Self::Sglang),
        ("passthrough-parser", Self::Passthrough),
    ];
}

/// The words in which a client expects its errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {"message", "type", "code"}}`.
    #[default]
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`.
    Anthropic,
}

/// The ends of paths, the longest first: the first that fits is the longest that does.
const SUFFIXES: [(&[u8], Api); 12] = [
    (b"chat/completions/render", Api::RenderChat),
    (b"messages/count_tokens", Api::CountTokens),
    (b"inference/v1/generate", Api::Generate),
    (b"completions/render", Api::RenderCompletions),
    (b"images/generations", Api::Images),
    (b"chat/completions", Api::ChatCompletions),
    (b"conversations", Api::Conversations),
    (b"completions", Api::Completions),
    (b"embeddings", Api::Embeddings),
    (b"responses", Api::Responses),
    (b"messages", Api::Messages),
    (b"generate", Api::SglangGenerate),
];

impl Api {
    /// The API that a path asks for, by its longest known suffix as in the EPP; the query does not
    /// count. `None`: the body says nothing that we read, so it goes by load.
    #[must_use]
    pub fn of_path(path: &[u8]) -> Option<Self> {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or(path);
        SUFFIXES.iter().find(|(suffix, _)| path.ends_with(suffix)).map(|(_, api)| *api)
    }

    /// Whose it is.
    #[must_use]
    pub const fn parser(self) -> Parser {
        match self {
            Self::Messages | Self::CountTokens => Parser::Anthropic,
            Self::Generate => Parser::Vllm,
            Self::SglangGenerate => Parser::Sglang,
            Self::ChatCompletions
            | Self::Completions
            | Self::Embeddings
            | Self::Responses
            | Self::Conversations
            | Self::Images
            | Self::RenderChat
            | Self::RenderCompletions => Parser::OpenAi,
        }
    }

    /// Whether the server computes the prompt, so that its cache matters and holds it afterwards.
    #[must_use]
    pub const fn computes(self) -> bool {
        !matches!(self, Self::CountTokens | Self::RenderChat | Self::RenderCompletions)
    }

    /// Whether a request has to name a model. Others are for the one model of their server.
    #[must_use]
    pub const fn needs_model(self) -> bool {
        !matches!(self, Self::Conversations | Self::Generate | Self::SglangGenerate)
    }

    /// How its errors are told.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        if matches!(self, Self::Messages | Self::CountTokens) {
            Dialect::Anthropic
        } else {
            Dialect::OpenAi
        }
    }

    /// What a request without a prompt is told.
    pub(super) const fn without_prompt(self) -> &'static str {
        match self {
            Self::ChatCompletions | Self::RenderChat => {
                "invalid chat completions request: must have valid messages field"
            }
            Self::Completions | Self::RenderCompletions => {
                "invalid completions request: must have prompt field"
            }
            Self::Embeddings => "invalid embeddings request: must have input field",
            Self::Responses => "invalid responses request: must have input field",
            Self::Conversations => "invalid conversations request: must have items field",
            Self::Images => "invalid images generations request: must have prompt field",
            Self::Messages | Self::CountTokens => {
                "invalid messages request: must have valid messages field"
            }
            Self::Generate => "invalid generate request: must have token_ids field",
            Self::SglangGenerate => "invalid generate request: must have input_ids or text field",
        }
    }
}
