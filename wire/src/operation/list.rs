//! The list of operations.

use super::{
    Class::{self, Direct, Named, Read, Refused},
    Methods::{self, Any, Get, Post},
    Operation,
    pattern::Pattern,
};
use crate::body::Api;

const fn of(
    methods: Methods,
    path: &'static str,
    class: Class,
    engines: &'static str,
) -> Operation {
    Operation { methods, pattern: Pattern::new(path), class, engines, keeps: false }
}

/// Marks an operation of which the pod keeps something.
const fn keeping(operation: Operation) -> Operation {
    Operation { keeps: true, ..operation }
}

const fn inference(path: &'static str, api: Api, engines: &'static str) -> Operation {
    of(Post, path, Read(api), engines)
}

/// All operations that are known; the first that fits is the one. Those that are asked for most stand
/// in front, and none hides one below it.
pub static OPERATIONS: &[Operation] = &[
    // A model in the path; before the same words without.
    inference("openai/deployments/{model}/chat/completions", Api::ChatCompletions, "Azure OpenAI"),
    inference("openai/deployments/{model}/completions", Api::Completions, "Azure OpenAI"),
    inference("openai/deployments/{model}/embeddings", Api::Embeddings, "Azure OpenAI"),
    // The OpenAI API.
    inference(
        "chat/completions",
        Api::ChatCompletions,
        "OpenAI, vLLM, SGLang, TGI, TensorRT-LLM, Dynamo, llama.cpp, Ollama",
    ),
    inference(
        "completions",
        Api::Completions,
        "OpenAI, vLLM, SGLang, TGI, TensorRT-LLM, Dynamo, llama.cpp, Ollama",
    ),
    keeping(inference(
        "responses",
        Api::Responses,
        "OpenAI, vLLM, SGLang, TensorRT-LLM, Dynamo, llama.cpp",
    )),
    inference("embeddings", Api::Embeddings, "OpenAI, vLLM, SGLang, Dynamo, llama.cpp, Ollama"),
    keeping(inference("conversations", Api::Conversations, "OpenAI")),
    inference("images/generations", Api::Images, "OpenAI, vLLM-Omni, SGLang"),
    inference("images/edits", Api::Other, "OpenAI, vLLM-Omni, SGLang"),
    inference("audio/transcriptions", Api::Other, "OpenAI, vLLM, SGLang"),
    inference("audio/translations", Api::Other, "OpenAI, vLLM"),
    inference("audio/speech", Api::Other, "OpenAI, vLLM-Omni"),
    inference("chat/completions/batch", Api::Other, "vLLM"),
    of(Post, "v1/responses/{id}/cancel", Direct, "OpenAI, vLLM, SGLang"),
    of(Get, "v1/responses/{id}", Direct, "OpenAI, vLLM, SGLang"),
    of(Get, "v1/responses/{id}/input_items", Direct, "OpenAI"),
    of(Get, "v1/models/{model}", Direct, "OpenAI, SGLang"),
    of(Get, "v1/models", Direct, "OpenAI, vLLM, SGLang, TGI, TensorRT-LLM, Dynamo, llama.cpp"),
    // Anthropic's. Its one word stands in other APIs too, so that its version counts.
    inference("v1/messages", Api::Messages, "Anthropic, vLLM, SGLang, llama.cpp, Ollama"),
    inference("messages/count_tokens", Api::CountTokens, "Anthropic, vLLM, llama.cpp"),
    inference("v1/messages/render", Api::Other, "vLLM"),
    // vLLM's own.
    inference("inference/v1/generate", Api::Generate, "vLLM"),
    inference("chat/completions/render", Api::RenderChat, "vLLM"),
    inference("completions/render", Api::RenderCompletions, "vLLM"),
    inference("v1/responses/render", Api::Other, "vLLM"),
    inference("chat/completions/derender", Api::Other, "vLLM"),
    inference("completions/derender", Api::Other, "vLLM"),
    inference("cohere/v2/chat", Api::Other, "vLLM"),
    inference("generative_scoring", Api::Other, "vLLM"),
    inference("v1/systemone", Api::Other, "vLLM"),
    inference("pooling", Api::Other, "vLLM"),
    inference("classify", Api::Other, "vLLM, SGLang"),
    inference("score", Api::Other, "vLLM, SGLang"),
    inference("rerank", Api::Other, "Cohere, Jina, vLLM, SGLang, llama.cpp"),
    inference("v2/embed", Api::Other, "Cohere, vLLM"),
    inference("invocations", Api::Other, "SageMaker, vLLM, SGLang, TGI"),
    inference("tokenize", Api::Other, "vLLM, SGLang, TGI, llama.cpp"),
    inference("detokenize", Api::Other, "vLLM, SGLang, llama.cpp"),
    // Generation without a model's name. Longer ones are before the one word that they end with.
    inference("v2/models/{model}/versions/{version}/generate", Api::TritonGenerate, "Triton"),
    inference(
        "v2/models/{model}/versions/{version}/generate_stream",
        Api::TritonGenerate,
        "Triton",
    ),
    inference("v2/models/{model}/versions/{version}/infer", Api::Other, "Triton"),
    inference("v2/models/{model}/generate", Api::TritonGenerate, "Triton"),
    inference("v2/models/{model}/generate_stream", Api::TritonGenerate, "Triton"),
    inference("v2/models/{model}/infer", Api::Other, "Triton, KServe"),
    inference("api/generate", Api::OllamaGenerate, "Ollama"),
    inference("api/chat", Api::OllamaChat, "Ollama"),
    inference("api/embed", Api::Other, "Ollama"),
    inference("generate", Api::SglangGenerate, "SGLang, TGI"),
    inference("generate_stream", Api::Other, "TGI"),
    inference("completion", Api::LlamaCompletion, "llama.cpp"),
    inference("infill", Api::Other, "llama.cpp"),
    inference("embedding", Api::Other, "llama.cpp"),
    inference("reranking", Api::Other, "llama.cpp"),
    inference("encode", Api::Other, "SGLang"),
    inference("vertex_generate", Api::Other, "SGLang"),
    // Google's and Amazon's, by gateways in front of other engines.
    inference("models/{model}:generateContent", Api::Gemini, "Gemini"),
    inference("models/{model}:streamGenerateContent", Api::Gemini, "Gemini"),
    inference("models/{model}:countTokens", Api::Other, "Gemini"),
    inference("models/{model}:embedContent", Api::Other, "Gemini"),
    inference("model/{model}/converse", Api::Bedrock, "Bedrock"),
    inference("model/{model}/converse-stream", Api::Bedrock, "Bedrock"),
    inference("model/{model}/invoke", Api::Other, "Bedrock"),
    inference("model/{model}/invoke-with-response-stream", Api::Other, "Bedrock"),
    // No inference, though the body may say something.
    of(Post, "abort_request", Named, "SGLang"),
    of(Post, "abort_requests", Refused, "vLLM"),
    of(Post, "ping", Direct, "SageMaker, vLLM"),
    of(Any, "v1/conversations/{id}", Direct, "OpenAI"),
    of(Any, "v1/conversations/{id}/items", Direct, "OpenAI"),
    of(Get, "v1/conversations/{id}/items/{item}", Direct, "OpenAI"),
    keeping(of(Post, "v1/files", Direct, "OpenAI")),
    of(Get, "v1/files/{id}", Direct, "OpenAI"),
    of(Get, "v1/files/{id}/content", Direct, "OpenAI"),
    keeping(of(Post, "v1/batches", Named, "OpenAI")),
    of(Get, "v1/batches/{id}", Direct, "OpenAI"),
    of(Post, "v1/batches/{id}/cancel", Direct, "OpenAI"),
    of(Post, "api/show", Direct, "Ollama"),
    of(Post, "apply-template", Direct, "llama.cpp"),
    of(Post, "parse_function_call", Direct, "SGLang"),
    of(Post, "separate_reasoning", Direct, "SGLang"),
    // Control of one engine.
    of(Post, "load_lora_adapter", Refused, "vLLM, SGLang"),
    of(Post, "unload_lora_adapter", Refused, "vLLM, SGLang"),
    of(Post, "load_lora_adapter_from_tensors", Refused, "SGLang"),
    of(Post, "sleep", Refused, "vLLM"),
    of(Post, "wake_up", Refused, "vLLM"),
    of(Post, "pause", Refused, "vLLM"),
    of(Post, "resume", Refused, "vLLM"),
    of(Post, "reset_prefix_cache", Refused, "vLLM"),
    of(Post, "reset_mm_cache", Refused, "vLLM"),
    of(Post, "reset_encoder_cache", Refused, "vLLM"),
    of(Post, "collective_rpc", Refused, "vLLM"),
    of(Post, "scale_elastic_ep", Refused, "vLLM"),
    of(Post, "init_weight_transfer_engine", Refused, "vLLM"),
    of(Post, "shutdown_weight_transfer_engine", Refused, "vLLM"),
    of(Post, "start_weight_update", Refused, "vLLM"),
    of(Post, "start_draft_weight_update", Refused, "vLLM"),
    of(Post, "update_weights", Refused, "vLLM"),
    of(Post, "finish_weight_update", Refused, "vLLM"),
    of(Post, "update_weight_version", Refused, "vLLM, SGLang"),
    of(Post, "weight_checker", Refused, "vLLM"),
    of(Post, "release_kv_cache_memory", Refused, "vLLM"),
    of(Post, "fault_tolerance/apply", Refused, "vLLM"),
    of(Any, "start_profile", Refused, "vLLM, SGLang"),
    of(Any, "stop_profile", Refused, "vLLM, SGLang"),
    of(Any, "flush_cache", Refused, "SGLang"),
    of(Any, "clear_hicache_storage_backend", Refused, "SGLang"),
    of(Post, "pause_generation", Refused, "SGLang"),
    of(Post, "continue_generation", Refused, "SGLang"),
    of(Any, "release_memory_occupation", Refused, "SGLang"),
    of(Any, "resume_memory_occupation", Refused, "SGLang"),
    of(Post, "update_weights_from_disk", Refused, "SGLang"),
    of(Post, "update_weights_from_tensor", Refused, "SGLang"),
    of(Post, "update_weights_from_distributed", Refused, "SGLang"),
    of(Post, "init_weights_update_group", Refused, "SGLang"),
    of(Post, "set_internal_state", Refused, "SGLang"),
    of(Post, "configure_logging", Refused, "SGLang"),
    of(Any, "slow_down", Refused, "SGLang"),
    of(Any, "open_session", Refused, "SGLang"),
    of(Any, "close_session", Refused, "SGLang"),
    of(Post, "v2/repository/models/{model}/load", Refused, "Triton"),
    of(Post, "v2/repository/models/{model}/unload", Refused, "Triton"),
    of(Post, "api/pull", Refused, "Ollama"),
    of(Post, "api/push", Refused, "Ollama"),
    of(Post, "api/create", Refused, "Ollama"),
    of(Post, "api/copy", Refused, "Ollama"),
    of(Any, "api/delete", Refused, "Ollama"),
    of(Post, "clear_kv_blocks", Refused, "Dynamo"),
    of(Post, "busy_threshold", Refused, "Dynamo"),
];
