//! The API of SGLang's own (EPP: sglanghttp-parser), with that of TGI, which has the same path.

use super::{
    ApiSpec, BodyError, Cursor, DialectSpec, PromptField, RequestFields, Work::Computes, openai,
    vllm,
};
use crate::{
    body::{part::text, prompt::prompt},
    homes::NAME_BYTES_MAX,
};

pub(super) static DIALECT: DialectSpec =
    DialectSpec { parser: "sglanghttp-parser", error: openai::error };

pub(super) static GENERATE: ApiSpec = ApiSpec {
    work: Computes,
    // Embeddings and images may stand for it.
    prompt: PromptField::Optional,
    hashed: "input_ids, text, inputs",
    read,
};

fn read<'a>(
    fields: &mut RequestFields<'a>,
    cursor: &mut Cursor<'a>,
    key: &[u8],
) -> Result<(), BodyError> {
    match key {
        b"input_ids" | b"text" | b"inputs" => fields.prompt = prompt(cursor)?,
        b"extra_key" => fields.cache_salt = text(cursor)?,
        b"rid" => fields.own_name = text(cursor)?.filter(|name| name.len() <= NAME_BYTES_MAX),
        b"sampling_params" | b"parameters" => fields.max_tokens = vllm::output_limit(cursor)?,
        _ => fields.read_common(cursor, key)?,
    }
    Ok(())
}
