//! The API of SGLang's own (EPP: sglanghttp-parser).

use super::{
    ApiSpec, BodyError, Cursor, DialectSpec, ModelField::Optional, RequestFields, Work::Computes,
    openai, vllm,
};
use crate::body::{part::text, prompt::prompt};

pub(super) static DIALECT: DialectSpec =
    DialectSpec { parser: "sglanghttp-parser", error: openai::error };

pub(super) static GENERATE: ApiSpec = ApiSpec {
    path: "generate",
    work: Computes,
    model: Optional,
    no_prompt: "invalid generate request: must have input_ids or text field",
    read,
};

fn read<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"input_ids" | b"text" => fields.prompt = prompt(cursor)?,
        b"extra_key" => fields.cache_salt = text(cursor)?,
        b"sampling_params" => fields.max_tokens = vllm::output_limit(cursor)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}
