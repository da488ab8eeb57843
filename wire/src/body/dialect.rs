//! The dialects: families of APIs that ask and answer in the same words, each in a file of its own.
//!
//! A dialect's file says all that sets it apart: the paths of its APIs, which fields of a request
//! are read and how they join the prompt, the parser by which a configuration names it, and the
//! envelope of its errors. A new dialect is such a file and an entry of the list below, from which the
//! compiler makes every match. The words of its answers stand in the response module.

mod anthropic;
mod openai;
mod other_engines;
mod sglang;
mod vllm;

use super::{
    BodyError, Cursor,
    fields::{ReadField, RequestFields},
};

/// Makes the two enums of the list of dialects, and the ways from a variant to its description.
macro_rules! dialects {
    ($($(#[$about:meta])* $dialect:ident in $file:ident {
        $($(#[$about_api:meta])* $api:ident = $spec:ident,)+
    })+) => {
        /// A family of APIs with common words (EPP: a parser).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Dialect {
            $($(#[$about])* $dialect,)+
        }

        /// An API with bodies that are read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Api {
            $($($(#[$about_api])* $api,)+)+
        }

        impl Dialect {
            /// Every dialect.
            pub const ALL: &[Self] = &[$(Self::$dialect),+];

            const fn spec(self) -> &'static DialectSpec {
                match self {
                    $(Self::$dialect => &$file::DIALECT,)+
                }
            }
        }

        impl Api {
            /// Every API of every dialect.
            pub const ALL: &[Self] = &[$($(Self::$api),+),+];

            const fn spec(self) -> &'static ApiSpec {
                match self {
                    $($(Self::$api => &$file::$spec,)+)+
                }
            }

            /// Returns the dialect that the API belongs to.
            #[must_use]
            pub const fn dialect(self) -> Dialect {
                match self {
                    $($(Self::$api => Dialect::$dialect,)+)+
                }
            }
        }
    };
}

dialects! {
    /// The OpenAI API, as nearly all servers speak it, with vLLM's additions to its paths. A client
    /// of no known API gets its errors too.
    #[default]
    OpenAi in openai {
        /// `chat/completions`: the prompt is in `messages`.
        ChatCompletions = CHAT_COMPLETIONS,
        /// `completions`: the prompt is in `prompt`.
        Completions = COMPLETIONS,
        /// `embeddings`: the prompt is in `input`.
        Embeddings = EMBEDDINGS,
        /// `responses`: the prompt is in `input`, behind `instructions` and `tools`.
        Responses = RESPONSES,
        /// `conversations`: the prompt is in `items`.
        Conversations = CONVERSATIONS,
        /// `images/generations`: the prompt is in `prompt`.
        Images = IMAGES,
        /// vLLM's `chat/completions/render`: tokens for a chat request, without running it.
        RenderChat = RENDER_CHAT,
        /// vLLM's `completions/render`.
        RenderCompletions = RENDER_COMPLETIONS,
        /// Ollama's `api/chat`.
        OllamaChat = OLLAMA_CHAT,
        /// Ollama's `api/generate`.
        OllamaGenerate = OLLAMA_GENERATE,
        /// llama.cpp's `completion`.
        LlamaCompletion = LLAMA_COMPLETION,
        /// Triton's `generate` and `generate_stream`.
        TritonGenerate = TRITON_GENERATE,
        /// Gemini's `generateContent` and `streamGenerateContent`.
        Gemini = GEMINI,
        /// Bedrock's `converse` and `converse-stream`.
        Bedrock = BEDROCK,
        /// A request that computes nothing and names in its body what one endpoint keeps.
        Named = NAMED,
        /// Any other: of its body only the model is read, if it is JSON or a form.
        Other = OTHER,
    }
    /// The Anthropic API.
    Anthropic in anthropic {
        /// `messages`: the prompt is in `messages`, behind `tools` and `system`.
        Messages = MESSAGES,
        /// `messages/count_tokens`.
        CountTokens = COUNT_TOKENS,
    }
    /// The API of vLLM's own.
    Vllm in vllm {
        /// `inference/v1/generate`: the prompt is in `token_ids`.
        Generate = GENERATE,
    }
    /// The API of SGLang's own.
    Sglang in sglang {
        /// `generate`: the prompt is in `input_ids` or `text`.
        SglangGenerate = GENERATE,
    }
}

/// Description of a dialect.
pub(super) struct DialectSpec {
    /// Type of its parser in an EndpointPickerConfig.
    parser: &'static str,
    /// Body of an error with an HTTP status and a message, as JSON.
    error: fn(u16, &str) -> String,
}

/// Description of an API.
pub(super) struct ApiSpec {
    work: Work,
    prompt: PromptField,
    /// Members of a body that make the prompt.
    hashed: &'static str,
    read: ReadField,
}

/// Work of a server for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The prompt is computed, so that its cache matters and holds it afterwards.
    Computes,
    /// The prompt is only counted or rendered.
    Inspects,
}

/// Need of a request to have a prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PromptField {
    /// Refused without, with this text in the EPP's words.
    Required(&'static str),
    /// Placed by load without: the engine knows what it takes.
    Optional,
}

/// Choice of the requests with bodies that are read (EPP: the parsers that `requestHandler` names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// Reads the bodies of a dialect.
    Dialect(Dialect),
    /// Reads none (`passthrough-parser`).
    Passthrough,
}

impl Dialect {
    /// Returns the body of an answer with an HTTP status that is an error, `application/json`: the
    /// envelope of the client's API, with the EPP's types.
    #[must_use]
    pub fn error_body(self, status: u16, message: &str) -> String {
        (self.spec().error)(status, message)
    }
}

impl Api {
    /// Returns the parser that reads the API's bodies.
    #[must_use]
    pub const fn parser(self) -> Parser {
        Parser::Dialect(self.dialect())
    }

    /// True if the server computes the prompt, so that its cache matters and holds it afterwards.
    #[must_use]
    pub fn computes(self) -> bool {
        self.spec().work == Work::Computes
    }

    /// Returns the members of a body that are hashed as its prompt; none where it says nothing.
    #[must_use]
    pub const fn hashed(self) -> &'static str {
        self.spec().hashed
    }

    /// Returns the text of the error for a request without a prompt, where it needs one.
    pub(super) const fn no_prompt(self) -> Option<&'static str> {
        match self.spec().prompt {
            PromptField::Required(text) => Some(text),
            PromptField::Optional => None,
        }
    }

    /// Returns the reader of the fields that the API has.
    pub(super) const fn reader(self) -> ReadField {
        self.spec().read
    }
}

impl Parser {
    const PASSTHROUGH: &str = "passthrough-parser";

    /// Returns the parser of that type in an EndpointPickerConfig.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if name == Self::PASSTHROUGH {
            return Some(Self::Passthrough);
        }
        let dialect = Dialect::ALL.iter().find(|dialect| dialect.spec().parser == name);
        dialect.map(|dialect| Self::Dialect(*dialect))
    }

    /// Returns the types of all parsers.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Dialect::ALL.iter().map(|dialect| dialect.spec().parser).chain([Self::PASSTHROUGH])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_things() {
        for name in Parser::names() {
            let found = Parser::named(name).unwrap();
            let again = match found {
                Parser::Dialect(dialect) => dialect.spec().parser,
                Parser::Passthrough => Parser::PASSTHROUGH,
            };
            assert_eq!(again, name);
        }
    }
}
