//! Priority bands.

use std::collections::BTreeMap;

use picker_core::flow::{BANDS_MAX, BandConfig, Priority, Ttl};

use super::limits;
use crate::config::{At, ConfigError, at::Object, plugin::Plugins};

const KEYS: [&str; 5] =
    ["maxBytes", "maxRequests", "defaultRequestTTL", "fairnessPolicyRef", "orderingPolicyRef"];

/// Reads `priorityBands`.
pub(super) fn bands(
    at: &At<'_>,
    plugins: &Plugins<'_>,
) -> Result<BTreeMap<Priority, BandConfig>, ConfigError> {
    let known: Vec<&str> = KEYS.into_iter().chain(["priority"]).collect();
    let mut bands = BTreeMap::new();
    at.each(|at| {
        let object = at.object(&known)?;
        let priority = object.required("priority")?;
        let band = band(&object, plugins)?;
        if bands.insert(Priority(priority.signed()?), band).is_some() {
            return Err(priority.refuse("a priority that no other band has"));
        }
        Ok(())
    })?;
    let found = bands.len() + usize::from(!bands.contains_key(&Priority(0)));
    if found > BANDS_MAX {
        let allowed = format!("at most {BANDS_MAX}, priority 0 among them");
        return Err(at.refuse_length(found, &allowed));
    }
    Ok(bands)
}

/// Reads the band after which others are made.
pub(super) fn template(at: &At<'_>, plugins: &Plugins<'_>) -> Result<BandConfig, ConfigError> {
    band(&at.object(&KEYS)?, plugins)
}

fn band(object: &Object<'_>, plugins: &Plugins<'_>) -> Result<BandConfig, ConfigError> {
    let default = BandConfig::default();
    Ok(BandConfig {
        limits: limits(object, default.limits)?,
        default_ttl: object.read("defaultRequestTTL", None, |at| ttl(at).map(Some))?,
        fairness: object.read("fairnessPolicyRef", default.fairness, |at| plugins.find(at))?,
        ordering: object.read("orderingPolicyRef", default.ordering, |at| plugins.find(at))?,
    })
}

/// Reads the time for which a request may wait; zero is for ever.
pub(super) fn ttl(at: &At<'_>) -> Result<Ttl, ConfigError> {
    at.duration().map(Ttl::from)
}
