//! The pool, with its EndpointPickerConfig.

use super::{At, ConfigError, at::Object, epp};
use crate::snapshot::POOL_NAME_MAX;

/// A pool, with its EndpointPickerConfig.
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) epp: epp::Epp,
}

/// Reads the one entry of `pools`, or else the EndpointPickerConfig at top level.
pub(super) fn read(object: &Object<'_>) -> Result<Pool, ConfigError> {
    let Some(pools) = object.get("pools") else {
        return Ok(Pool { name: "default".to_owned(), epp: epp::read(object)? });
    };
    if let Some(at) = epp::KEYS.iter().find_map(|key| object.get(key)) {
        let allowed = "this within pools[0].config, or no pools";
        return Err(at.problem(format!("found beside pools; allowed: {allowed}")));
    }
    let entries = pools.list()?;
    let [entry] = entries.as_slice() else {
        let found = entries.len();
        return Err(
            pools.problem(format!("found {found} pools; allowed: 1, more are not supported yet"))
        );
    };
    let entry = entry.object(&["name", "config"])?;
    let name = entry.get("name").map_or(Ok("default"), |at| name(&at))?;
    let epp = match entry.get("config") {
        Some(at) => epp::read_strict(&at)?,
        None => epp::read(&Object::absent())?,
    };
    Ok(Pool { name: name.to_owned(), epp })
}

/// A name that is also a part of keys in Envoy's shared data.
fn name<'a>(at: &At<'a>) -> Result<&'a str, ConfigError> {
    let name = at.text()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() <= POOL_NAME_MAX && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(at.refuse("1 to 63 of A-Z a-z 0-9 . _ -"))
}
