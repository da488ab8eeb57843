//! OpenAI's words, which vLLM, SGLang, TensorRT-LLM and most others speak: chat, completions,
//! embeddings, the Responses API, speech and transcription.

use super::{AnswerField as F, Says, Says::Output, TokenCount};

const PROMPT: Says = Says::Count(TokenCount::Prompt);
const GENERATED: Says = Says::Count(TokenCount::Output);
const CACHED: Says = Says::Count(TokenCount::Cached);

pub(super) const FIELDS: &[F] = &[
    // Streams of chat and completions. A chunk with the role alone has an empty content.
    F::new(&["choices", "delta", "content"], Output),
    F::new(&["choices", "delta", "reasoning"], Output),
    F::new(&["choices", "delta", "reasoning_content"], Output),
    F::new(&["choices", "delta", "refusal"], Output),
    F::new(&["choices", "delta", "tool_calls", "function", "name"], Output),
    F::new(&["choices", "delta", "tool_calls", "function", "arguments"], Output),
    F::new(&["choices", "delta", "function_call", "name"], Output),
    F::new(&["choices", "delta", "function_call", "arguments"], Output),
    F::new(&["choices", "delta", "audio", "data"], Output),
    F::new(&["choices", "delta", "audio", "transcript"], Output),
    F::new(&["choices", "text"], Output),
    F::new(&["choices", "token_ids"], Output),
    F::new(&["choices", "finish_reason"], Says::Finish),
    // Whole answers.
    F::new(&["choices", "message", "content"], Output),
    F::new(&["choices", "message", "reasoning"], Output),
    F::new(&["choices", "message", "reasoning_content"], Output),
    F::new(&["choices", "message", "refusal"], Output),
    F::new(&["choices", "message", "tool_calls", "function", "name"], Output),
    F::new(&["choices", "message", "tool_calls", "function", "arguments"], Output),
    F::new(&["usage", "prompt_tokens"], PROMPT),
    F::new(&["usage", "completion_tokens"], GENERATED),
    F::new(&["usage", "prompt_tokens_details", "cached_tokens"], CACHED),
    F::new(&["usage", "input_tokens"], PROMPT),
    F::new(&["usage", "output_tokens"], GENERATED),
    F::new(&["usage", "input_tokens_details", "cached_tokens"], CACHED),
    // The Responses API: deltas of text, reasoning, refusals, audio, calls; the last event has the usage.
    F::new(&["type"], Says::ErrorWords(&[("error", 500), ("response.failed", 500)])),
    F::new(&["delta"], Output),
    F::new(&["item", "name"], Output),
    F::new(&["partial_image_b64"], Output),
    F::new(&["output", "content", "text"], Output),
    F::new(&["output", "arguments"], Output),
    F::new(&["response", "usage", "input_tokens"], PROMPT),
    F::new(&["response", "usage", "output_tokens"], GENERATED),
    F::new(&["response", "usage", "input_tokens_details", "cached_tokens"], CACHED),
    F::new(&["response", "error"], Says::Error),
    F::new(&["response", "error", "code"], Says::ErrorStatus),
    // Speech.
    F::new(&["audio"], Output),
    // Errors; `object` as vLLM said before 0.10 and SGLang says.
    F::new(&["error"], Says::Error),
    F::new(&["error", "code"], Says::ErrorStatus),
    F::new(&["code"], Says::ErrorStatus),
    F::new(&["object"], Says::ErrorWords(&[("error", 500)])),
];
