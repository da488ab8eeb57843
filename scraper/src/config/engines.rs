//! Engines, under the EPP's names (core-metrics-extractor).

use wire::{
    config::{At, ConfigError, Object},
    metrics::{CacheSpec, Engine, Engines, Spec},
};

use super::{checked, port};

pub(super) const KEYS: [&str; 3] = ["engineLabelKey", "defaultEngine", "engineConfigs"];

/// `path` and `port` are ours: where the engine has its page.
const ENGINE_KEYS: [&str; 11] = [
    "name",
    "queuedRequestsSpec",
    "runningRequestsSpec",
    "kvUsageSpec",
    "loraSpec",
    "cacheInfoSpec",
    "cacheBlockSizeLabelName",
    "cacheNumBlocksLabelName",
    "cacheBlockSizeSpec",
    "cacheNumBlocksSpec",
    "path",
];

pub(super) fn read(object: &Object<'_>) -> Result<Engines, ConfigError> {
    let described =
        object.read("engineConfigs", Vec::new(), |at| at.list()?.iter().map(engine).collect())?;
    let label = object.get("engineLabelKey").map(|at| at.text().map(str::to_owned)).transpose()?;
    match object.get("defaultEngine") {
        Some(at) => Engines::new(described, at.text()?, label).map_err(|why| at.problem(why)),
        None => Engines::new(described, "vllm", label).map_err(|why| object.problem(why)),
    }
}

fn engine(at: &At<'_>) -> Result<Engine, ConfigError> {
    let keys: Vec<_> = ENGINE_KEYS.into_iter().chain(["port"]).collect();
    let object = at.object(&keys)?;
    let spec = |key| object.get(key).map(|at| checked(&at, str::parse::<Spec>)).transpose();
    let required = |key| checked(&object.required(key)?, str::parse::<Spec>);
    Ok(Engine {
        name: object.required("name")?.text()?.to_owned(),
        waiting: vec![required("queuedRequestsSpec")?],
        running: vec![required("runningRequestsSpec")?],
        kv_usage: spec("kvUsageSpec")?.into_iter().collect(),
        cache: cache(&object)?,
        lora: spec("loraSpec")?,
        path: object.get("path").map(|at| at.text().map(str::to_owned)).transpose()?,
        port: object.get("port").map(|at| port(&at)).transpose()?,
        ..Engine::default()
    })
}

/// Two labels of one series, or two series.
fn cache(object: &Object<'_>) -> Result<Option<CacheSpec>, ConfigError> {
    if let Some(info) = object.get("cacheInfoSpec") {
        let label = |key, default: &str| {
            object.read(key, default.to_owned(), |at| at.text().map(str::to_owned))
        };
        return Ok(Some(CacheSpec::Labels {
            info: checked(&info, str::parse)?,
            block_tokens: label("cacheBlockSizeLabelName", "block_size")?,
            blocks: label("cacheNumBlocksLabelName", "num_gpu_blocks")?,
        }));
    }
    let (size, number) = (object.get("cacheBlockSizeSpec"), object.get("cacheNumBlocksSpec"));
    match (size, number) {
        (Some(size), Some(number)) => Ok(Some(CacheSpec::Values {
            block_tokens: checked(&size, str::parse)?,
            blocks: checked(&number, str::parse)?,
        })),
        (None, None) => Ok(None),
        (Some(at), None) | (None, Some(at)) => Err(at.problem(
            "found one of two; allowed: cacheBlockSizeSpec with cacheNumBlocksSpec".to_owned(),
        )),
    }
}
