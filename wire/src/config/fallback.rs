//! Pools that take the requests of others: another tier, another region, a provider.

use std::collections::BTreeMap;

use super::{At, ConfigError};

/// Pools that a request may be passed on through. Each costs it a look at that pool's ledger.
pub const FALLBACK_HOPS_MAX: usize = 4;

/// The pool that takes requests while another can't.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// Name of the pool.
    pub pool: String,
    /// Saturation, above 0, from which on it takes them; `None` where it does so only for a pool that is empty or failing.
    pub saturation: Option<f64>,
}

/// Reads the fallback of a pool.
pub(super) fn read(at: &At<'_>) -> Result<Fallback, ConfigError> {
    let object = at.object(&["pool", "saturation"])?;
    let limit = |at: &At<'_>| {
        let limit = at.number().filter(|limit| *limit > 0.0 && limit.is_finite());
        limit.map(Some).ok_or_else(|| at.refuse("a number above 0"))
    };
    Ok(Fallback {
        pool: object.required("pool")?.text()?.to_owned(),
        saturation: object.read("saturation", None, limit)?,
    })
}

/// Returns the pool's name in the fallback of an entry of `pools`, as far as it can be read.
pub(super) fn named<'a>(entry: &At<'a>) -> Option<&'a str> {
    let fallback = entry.members().ok()?.get("fallback")?;
    fallback.members().ok()?.get("pool")?.text().ok()
}

/// Checks that each fallback is another pool, and that none leads in a circle or through too many. `at` are the entries of
/// these pools, which come with their names.
pub(super) fn check(pools: &[(&str, Option<&Fallback>)], at: &At<'_>) -> Result<(), ConfigError> {
    let by_name: BTreeMap<&str, Option<&Fallback>> = pools.iter().copied().collect();
    for (entry, (name, own)) in at.long_list()?.iter().zip(pools) {
        let Some(fallback) = entry.members()?.get("fallback") else { continue };
        let fallback = fallback.members()?.required("pool")?;
        let mut way = vec![*name];
        let mut next = *own;
        while let Some(Fallback { pool, .. }) = next {
            let Some(found) = by_name.get(pool.as_str()) else {
                let rule = format!("must be the name of a pool; {pool:?} is none");
                return Err(fallback.problem(rule));
            };
            let is_circle = way.contains(&pool.as_str());
            way.push(pool);
            if is_circle {
                let rule = format!("must not lead back, as {} does", way.join(" > "));
                return Err(fallback.problem(rule));
            }
            if way.len() > FALLBACK_HOPS_MAX + 1 {
                let rule = format!(
                    "must lead through {FALLBACK_HOPS_MAX} pools at most; found {}",
                    way.join(" > ")
                );
                return Err(fallback.problem(rule));
            }
            next = *found;
        }
    }
    Ok(())
}
