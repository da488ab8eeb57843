//! The `flowControl` section, and the saturation detector, which may be named in it.

mod band;

use picker_core::{
    flow::{Eviction, FlowConfig, Limits},
    saturation::Detector,
};

use super::{
    At, ConfigError,
    at::Object,
    plugin::{self, Plugins},
};

const KEYS: [&str; 12] = [
    "maxBytes",
    "maxRequests",
    "defaultRequestTTL",
    "noEndpointRequestTTL",
    "defaultPriorityBand",
    "defaultNegativePriorityBand",
    "priorityBands",
    "usageLimitPolicyPluginRef",
    "bandSelectionPolicyPluginRef",
    "saturationDetector",
    "enableEviction",
    "displace",
];

/// Reads `flowControl`: the rules by which requests are held.
pub(super) fn read(at: &At<'_>, plugins: &Plugins<'_>) -> Result<FlowConfig, ConfigError> {
    let section = at.object(&KEYS)?;
    let default = FlowConfig::default();
    let template = |at: &At<'_>| band::template(at, plugins);
    Ok(FlowConfig {
        limits: limits(&section, default.limits)?,
        default_ttl: section.read("defaultRequestTTL", default.default_ttl, band::ttl)?,
        no_endpoint_ttl: section
            .read("noEndpointRequestTTL", None, |at| band::ttl(at).map(Some))?,
        bands: section.read("priorityBands", default.bands, |at| band::bands(at, plugins))?,
        default_band: section.read("defaultPriorityBand", default.default_band, template)?,
        default_negative_band: section
            .read("defaultNegativePriorityBand", None, |at| template(at).map(Some))?,
        usage_limit: section
            .read("usageLimitPolicyPluginRef", default.usage_limit, |at| plugins.find(at))?,
        band_selection: section.read(
            "bandSelectionPolicyPluginRef",
            default.band_selection,
            |at| plugins.find(at),
        )?,
        displace: section.read("displace", default.displace, At::flag)?,
        eviction: section.read("enableEviction", default.eviction, |at| {
            Ok(if at.flag()? { Eviction::Sheddable } else { Eviction::Off })
        })?,
    })
}

/// Reads `maxRequests` and `maxBytes`.
fn limits(object: &Object<'_>, default: Limits) -> Result<Limits, ConfigError> {
    Ok(Limits {
        max_requests: object.read("maxRequests", default.max_requests, At::limit)?,
        max_bytes: object.read("maxBytes", default.max_bytes, At::limit)?,
    })
}

/// Reads the saturation detector, which is named within `flowControl`, or in older configurations
/// at the top; of both the newer counts. The detector counts without the gate too: there it decides when
/// requests below priority 0 are shed.
pub(super) fn detector(epp: &Object<'_>, plugins: &Plugins<'_>) -> Result<Detector, ConfigError> {
    let newer = match epp.get("flowControl") {
        Some(at) => at.members()?.get("saturationDetector"),
        None => None,
    };
    match (newer, epp.get("saturationDetector")) {
        (None, None) => Ok(Detector::default()),
        (Some(at), older) => {
            if let Some(older) = older {
                older.note("flowControl.saturationDetector counts");
            }
            referred(&at, plugins)
        }
        (None, Some(at)) if at.members()?.get("pluginRef").is_some() => referred(&at, plugins),
        (None, Some(at)) => plugin::utilization(&at.object(&plugin::UTILIZATION)?),
    }
}

fn referred(at: &At<'_>, plugins: &Plugins<'_>) -> Result<Detector, ConfigError> {
    let named = at.object(&["pluginRef"])?;
    named.read("pluginRef", Detector::default(), |at| plugins.find(at))
}
