//! An entry of `pools`.

use picker_core::{Objective, flow::Priority};
use wire::config::{At, ConfigError, Object};

use super::{checked, engines, object_name, port, tls};
use crate::settings::{
    Discovery, InferencePool, ListedEndpoints, MetricsSource, Objectives, PoolSettings,
    SelectedPods, pool_name,
};

const KEYS: [&str; 7] =
    ["name", "endpoints", "endpointsFile", "inferencePool", "pods", "metrics", "objectives"];

/// Labels that select pods at most: a Deployment has a handful.
const LABELS_MAX: usize = 32;

pub(super) fn read_all(at: &At<'_>) -> Result<Vec<PoolSettings>, ConfigError> {
    let mut pools: Vec<PoolSettings> = Vec::new();
    at.each(|at| {
        let pool = read(at)?;
        if pools.iter().any(|other| other.name == pool.name) {
            let name = pool.name;
            return Err(at.problem(format!(
                "found the name {name:?} twice; allowed: one pool of each name"
            )));
        }
        pools.push(pool);
        Ok(())
    })?;
    Ok(pools)
}

fn read(at: &At<'_>) -> Result<PoolSettings, ConfigError> {
    let keys: Vec<_> = KEYS.into_iter().chain(engines::KEYS).collect();
    let object = at.object(&keys)?;
    let discovery = discovery(&object)?;
    let default = match &discovery {
        Discovery::InferencePool(pool) => pool.name.clone(),
        Discovery::Listed(_) | Discovery::Pods(_) => "default".to_owned(),
    };
    Ok(PoolSettings {
        name: object.read("name", default, |at| checked(at, pool_name))?,
        discovery,
        objectives: object.read("objectives", Objectives::default(), objectives)?,
        engines: engines::read(&object)?,
        source: object.read("metrics", MetricsSource::default(), source)?,
    })
}

/// Reads the source of endpoints: a list, a pool of Kubernetes, or pods of Kubernetes by their labels.
fn discovery(object: &Object<'_>) -> Result<Discovery, ConfigError> {
    // A faulty list is a fault by itself, and is not missing too.
    let endpoints = match object.get("endpoints") {
        Some(at) => {
            at.list()?.iter().map(|at| checked(at, str::parse)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    let file = object.get("endpointsFile").map(|at| at.text().map(Into::into)).transpose()?;
    let listed = !endpoints.is_empty() || file.is_some();
    match (object.get("inferencePool"), object.get("pods")) {
        (Some(at), None) if !listed => inference_pool(&at).map(Discovery::InferencePool),
        (None, Some(at)) if !listed => selected_pods(&at).map(Discovery::Pods),
        (None, None) if listed => Ok(Discovery::Listed(ListedEndpoints { endpoints, file })),
        _ => Err(object.problem(
            "must have one source of endpoints; allowed: inferencePool, pods, or endpoints and \
             endpointsFile"
                .to_owned(),
        )),
    }
}

fn inference_pool(at: &At<'_>) -> Result<InferencePool, ConfigError> {
    let object = at.object(&["name", "namespace", "nodeZones"])?;
    Ok(InferencePool {
        name: object_name(&object.required("name")?)?,
        namespace: object.get("namespace").map(|at| object_name(&at)).transpose()?,
        kubeconfig: None,
        node_zones: object.read("nodeZones", false, At::flag)?,
    })
}

fn selected_pods(at: &At<'_>) -> Result<SelectedPods, ConfigError> {
    let object = at.object(&["labels", "port", "namespace", "nodeZones"])?;
    let at_labels = object.required("labels")?;
    let labels = at_labels.entries()?;
    if !(1..=LABELS_MAX).contains(&labels.len()) {
        return Err(at_labels.refuse("1 to 32 labels: without any, every pod would be selected"));
    }
    let label = |(key, value): (&str, At<'_>)| {
        // Any other character could make another selector of it.
        if !is_label(key, true) {
            return Err(at_labels.refuse("labels with keys of A-Z a-z 0-9 - _ . and one / at most"));
        }
        if !is_label(value.text()?, false) {
            return Err(value.refuse("a label's value: A-Z a-z 0-9 - _ ."));
        }
        Ok((key.to_owned(), value.text()?.to_owned()))
    };
    Ok(SelectedPods {
        labels: labels.into_iter().map(label).collect::<Result<_, _>>()?,
        port: port(&object.required("port")?)?,
        namespace: object.get("namespace").map(|at| object_name(&at)).transpose()?,
        kubeconfig: None,
        node_zones: object.read("nodeZones", false, At::flag)?,
    })
}

/// True for what may be the key or the value of a label, as far as its characters go.
fn is_label(text: &str, is_key: bool) -> bool {
    let slashes = text.bytes().filter(|byte| *byte == b'/').count();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    text.bytes().all(plain) && slashes <= usize::from(is_key) && !(is_key && text.is_empty())
}

fn source(at: &At<'_>) -> Result<MetricsSource, ConfigError> {
    let keys: Vec<_> = ["scheme", "path", "port"].into_iter().chain(tls::KEYS).collect();
    let object = at.object(&keys)?;
    let https =
        object.read("scheme", false, |at| at.one_of(&[("http", false), ("https", true)]))?;
    if let (false, Some(at)) = (https, tls::KEYS.iter().find_map(|key| object.get(key))) {
        return Err(at.problem("found without TLS; allowed: with scheme: https".to_owned()));
    }
    let path = object.get("path").map(|at| match at.text()? {
        path if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err(at.refuse("a path that begins with /")),
    });
    Ok(MetricsSource {
        path: path.transpose()?,
        port: object.get("port").map(|at| port(&at)).transpose()?,
        tls: https.then(|| tls::read(&object)).transpose()?,
    })
}

fn objectives(at: &At<'_>) -> Result<Objectives, ConfigError> {
    let objective = |at: &At<'_>| {
        let object = at.object(&["name", "priority"])?;
        let name = object.required("name")?;
        let name = object_name(&name)?;
        let priority = Priority(object.read("priority", 0, At::signed)?);
        Ok(Objective { name, priority })
    };
    let list = at.list()?.iter().map(objective).collect::<Result<_, _>>()?;
    Objectives::new(list).map_err(|why| at.problem(why))
}
