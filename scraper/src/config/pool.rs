//! One entry of `pools`.

use engine::{Objective, flow::Priority};
use wire::{
    config::{At, ConfigError, Object},
    snapshot::is_object_name,
};

use super::{checked, engines, port};
use crate::{
    objectives::Objectives,
    settings::{Discovery, MetricsSource, PoolSettings, pool_name},
    targets::Listed,
};

const KEYS: [&str; 5] = ["name", "endpoints", "endpointsFile", "metrics", "objectives"];

pub(super) fn read_all(at: &At<'_>) -> Result<Vec<PoolSettings>, ConfigError> {
    let mut pools: Vec<PoolSettings> = Vec::new();
    for at in at.list()? {
        let pool = read(&at)?;
        if pools.iter().any(|other| other.name == pool.name) {
            return Err(at.problem(format!("there are two pools named {:?}", pool.name)));
        }
        pools.push(pool);
    }
    Ok(pools)
}

fn read(at: &At<'_>) -> Result<PoolSettings, ConfigError> {
    let keys: Vec<_> = KEYS.into_iter().chain(engines::KEYS).collect();
    let object = at.object(&keys)?;
    let discovery = discovery(&object)?;
    Ok(PoolSettings {
        name: object.read("name", "default".to_owned(), |at| checked(at, pool_name))?,
        discovery,
        objectives: object.read("objectives", Objectives::default(), objectives)?,
        engines: engines::read(&object)?,
        source: object.read("metrics", MetricsSource::default(), source)?,
    })
}

fn discovery(object: &Object<'_>) -> Result<Discovery, ConfigError> {
    let endpoints = object.read("endpoints", Vec::new(), |at| {
        at.list()?.iter().map(|at| checked(at, str::parse)).collect()
    })?;
    let file = object.get("endpointsFile").map(|at| at.text().map(Into::into)).transpose()?;
    if endpoints.is_empty() && file.is_none() {
        let allowed = "endpoints, endpointsFile";
        return Err(object.problem(format!("it has no endpoints; allowed: {allowed}")));
    }
    Ok(Discovery::Listed(Listed { endpoints, file }))
}

fn source(at: &At<'_>) -> Result<MetricsSource, ConfigError> {
    let object = at.object(&["path", "port"])?;
    let path = object.get("path").map(|at| match at.text()? {
        path if path.starts_with('/') => Ok(path.to_owned()),
        _ => Err(at.refuse("a path that begins with /")),
    });
    Ok(MetricsSource {
        path: path.transpose()?,
        port: object.get("port").map(|at| port(&at)).transpose()?,
    })
}

fn objectives(at: &At<'_>) -> Result<Objectives, ConfigError> {
    let objective = |at: &At<'_>| {
        let object = at.object(&["name", "priority"])?;
        let name = object.required("name")?;
        if !is_object_name(name.text()?) {
            return Err(name.refuse("a Kubernetes object's name: 1 to 253 of a-z 0-9 - ."));
        }
        let priority = Priority(object.read("priority", 0, At::signed)?);
        Ok(Objective { name: name.text()?.to_owned(), priority })
    };
    let list = at.list()?.iter().map(objective).collect::<Result<_, _>>()?;
    Objectives::new(list).map_err(|why| at.problem(why))
}
