//! Makes the question to the scheduler out of a request's body.

use super::{Api, Inference, PIECES_MAX, Piece};
use picker_core::{BLOCK_BYTES, Chainer, InferenceRequest, PromptKey, PromptOrder, Seed};

/// Rules by which a request's prompt is hashed.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashRules<'a> {
    /// Model that the request is sent to.
    pub model: &'a str,
    /// Tenant whose prompts share no block with those of others; `None` where all share.
    pub tenant: Option<&'a str>,
    /// Key of all hashes.
    pub key: PromptKey,
    /// Blocks that are hashed; a longer prompt counts up to there.
    pub blocks_max: u32,
    /// Order of the prompt's sections.
    pub order: PromptOrder,
}

impl Inference<'_> {
    /// True if the order of the model's chat template matters to the prompt: it has tools, documents or
    /// options of the template.
    #[must_use]
    pub fn has_order(&self) -> bool {
        self.sections.are_movable()
    }

    /// Returns the request, its prompt reduced to hashes. A prompt that is only counted or rendered goes
    /// by load.
    #[must_use]
    pub fn ask(&self, api: Api, rules: HashRules<'_>) -> InferenceRequest {
        if !api.computes() {
            return InferenceRequest::default();
        }
        let HashRules { model, tenant, key, blocks_max, order } = rules;
        let cache_salt = String::from_utf8_lossy(self.cache_salt.unwrap_or_default());
        // The APIs have no field for an adapter: it is asked for as a model.
        let seed = Seed { model, adapter: "", cache_salt: &cache_salt, tenant, key };
        let mut chainer = Chainer::new(&seed, blocks_max);
        for piece in self.sections.arrange(&self.prompt, order) {
            piece.chain(&mut chainer);
        }
        let tokens = |piece: &Piece<'_>| match piece {
            Piece::Media(_, tokens) => Some(*tokens),
            Piece::Text(_) | Piece::Tokens(_) => None,
        };
        let media = self.prompt.iter().filter_map(tokens);
        let has_ids = self.prompt.iter().any(|piece| matches!(piece, Piece::Tokens(_)));
        let request = InferenceRequest {
            chain: chainer.finish(),
            head: self.sections.head(&self.prompt, &seed, order),
            model: model.to_owned(),
            session: self.session.clone(),
            media: u32::try_from(media.clone().count()).unwrap_or(u32::MAX),
            media_tokens: media.fold(0, u32::saturating_add),
            text_bytes: self.text_bytes(blocks_max).filter(|_| has_whole_text(api)),
            ..InferenceRequest::default()
        };
        // Ids are packed at the default's bytes each, whatever the model's text has.
        let prompt_tokens = has_ids.then(|| request.tokens());
        InferenceRequest { prompt_tokens, ..request }
    }

    /// Returns the bytes of a prompt that is nothing but text, and hashed whole.
    fn text_bytes(&self, blocks_max: u32) -> Option<u32> {
        let bytes = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => Some(text.len()),
            Piece::Tokens(_) | Piece::Media(..) => None,
        };
        let bytes = self.prompt.iter().map(bytes).sum::<Option<usize>>()?;
        let is_whole = self.prompt.len() < PIECES_MAX
            && u64::try_from(bytes.div_ceil(BLOCK_BYTES)).is_ok_and(|it| it <= blocks_max.into());
        u32::try_from(bytes).ok().filter(|_| is_whole)
    }
}

/// True if all of the prompt is in the body, and what is no text is known as such. The Responses API may
/// go on from an earlier response, and has images within its JSON.
const fn has_whole_text(api: Api) -> bool {
    match api {
        Api::ChatCompletions
        | Api::Completions
        | Api::Embeddings
        | Api::Messages
        | Api::LlamaCompletion
        | Api::TritonGenerate
        | Api::SglangGenerate => true,
        // Ollama's pictures stand beside the text.
        Api::OllamaChat | Api::OllamaGenerate | Api::Gemini | Api::Bedrock => false,
        Api::Responses
        | Api::Conversations
        | Api::Images
        | Api::RenderChat
        | Api::RenderCompletions
        | Api::CountTokens
        | Api::Generate
        | Api::Named
        | Api::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Video, scan};
    use super::*;

    fn ask(api: Api, body: &str, blocks_max: u32) -> InferenceRequest {
        let rules = HashRules { model: "m", blocks_max, ..HashRules::default() };
        scan(body.as_bytes(), api, Video::default()).unwrap().ask(api, rules)
    }

    #[test]
    fn only_text_that_is_there_and_hashed_whole_tells_of_its_bytes() {
        let text = format!(r#"{{"model":"m","prompt":"{}"}}"#, "a".repeat(1_000));
        let found = ask(Api::Completions, &text, 4);
        assert_eq!((found.text_bytes, found.prompt_tokens), (Some(1_000), None));
        assert_eq!(ask(Api::Completions, &text, 3).text_bytes, None, "cut at the limit");

        let ids = format!(r#"{{"model":"m","prompt":[{}7]}}"#, "12345,".repeat(127));
        let found = ask(Api::Completions, &ids, 99);
        assert_eq!((found.text_bytes, found.prompt_tokens), (None, Some(128)));

        let input = r#"{"model":"m","input":"hello"}"#;
        assert_eq!(ask(Api::Responses, input, 99).text_bytes, None);
        let image = r#"{"model":"m","messages":[{"role":"user","content":
            [{"type":"image_url","image_url":{"url":"x"}}]}]}"#;
        let found = ask(Api::ChatCompletions, image, 99);
        assert_eq!((found.text_bytes, found.media), (None, 1));
        assert!(found.media_tokens > 100);
    }
}
