//! Engines, under the EPP's names (core-metrics-extractor).

use wire::{
    config::{At, ConfigError, Object},
    metrics::{CUSTOM_MAX, CacheSpec, Engine, Engines, Spec},
    snapshot::is_attribute_key,
};

use super::{checked, port};

pub(super) const KEYS: [&str; 3] = ["engineLabelKey", "defaultEngine", "engineConfigs"];

/// Fields of an engine. The EPP lacks `path` and `port`, which are the place of the engine's page.
const ENGINE_KEYS: [&str; 12] = [
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
    "customMetrics",
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
    let name = object.required("name")?.text()?;
    // The description of a known engine needs only the differences.
    let known = Engine::known().into_iter().find(|engine| engine.name == name);
    let needed = |key, known: Option<&Vec<Spec>>| match (spec(key)?, known) {
        (Some(spec), _) => Ok(vec![spec]),
        (None, Some(known)) => Ok(known.clone()),
        (None, None) => object.required(key).map(|_| Vec::new()),
    };
    let waiting = needed("queuedRequestsSpec", known.as_ref().map(|it| &it.waiting))?;
    let running = needed("runningRequestsSpec", known.as_ref().map(|it| &it.running))?;
    let base = known.unwrap_or_else(|| Engine { name: name.to_owned(), ..Engine::default() });
    Ok(Engine {
        waiting,
        running,
        kv_usage: spec("kvUsageSpec")?.map_or(base.kv_usage, |spec| vec![spec]),
        cache: cache(&object)?.or(base.cache),
        lora: spec("loraSpec")?.or(base.lora),
        custom: object.read("customMetrics", Vec::new(), custom)?,
        path: object.read("path", base.path, |at| at.text().map(|path| Some(path.to_owned())))?,
        port: object.read("port", base.port, |at| port(at).map(Some))?,
        ..base
    })
}

/// Reads the metrics that scorers and filters may use, each under its key.
fn custom(at: &At<'_>) -> Result<Vec<(String, Spec)>, ConfigError> {
    let entries = at.list()?;
    if entries.len() > CUSTOM_MAX {
        let found = entries.len();
        return Err(at.problem(format!("found {found} metrics; allowed: {CUSTOM_MAX}")));
    }
    let mut metrics: Vec<(String, Spec)> = Vec::new();
    for entry in entries {
        let metric = entry.object(&["attributeKey", "metricSpec"])?;
        let key_at = metric.required("attributeKey")?;
        let key = key_at.text()?;
        if !is_attribute_key(key) || metrics.iter().any(|(other, _)| other == key) {
            return Err(key_at.refuse("keys of 1 to 63 bytes that differ"));
        }
        let spec = checked(&metric.required("metricSpec")?, str::parse)?;
        metrics.push((key.to_owned(), spec));
    }
    Ok(metrics)
}

/// Reads the cache's size: two labels of one series, or two series.
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
    match (object.get("cacheBlockSizeSpec"), object.get("cacheNumBlocksSpec")) {
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
