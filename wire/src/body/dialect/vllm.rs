//! The API of vLLM's own, for prompts of tokens (EPP: vllmhttp-parser).

use super::{
    ApiSpec, BodyError, Cursor, DialectSpec, PromptField, RequestFields, Work::Computes, openai,
};
use crate::body::{part, prompt::prompt};

pub(super) static DIALECT: DialectSpec =
    DialectSpec { parser: "vllmhttp-parser", error: openai::error };

pub(super) static GENERATE: ApiSpec = ApiSpec {
    work: Computes,
    prompt: PromptField::Required("invalid generate request: must have token_ids field"),
    hashed: "token_ids",
    read,
};

fn read<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"token_ids" => fields.prompt = prompt(cursor)?,
        b"sampling_params" => fields.max_tokens = output_limit(cursor)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}

/// Reads the limit on output tokens in sampling parameters, by vLLM's name or SGLang's.
pub(super) fn output_limit(cursor: &mut Cursor<'_>) -> Result<Option<u64>, BodyError> {
    part::output_limit(cursor, &[b"max_tokens", b"max_new_tokens"])
}
