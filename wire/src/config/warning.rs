//! Parts of a configuration that are right, and do something else than is likely to be meant.

use std::{collections::BTreeSet, fmt, time::Duration};

use picker_core::{
    Disagg, Handler,
    saturation::{Detector, Staleness},
};
use serde_json::Value;

use super::{PickerConfig, PoolConfig};

/// Part of a configuration that does something else than is likely to be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Path from the root of the part that should be looked at.
    pub path: String,
    /// Effect, and what to do if that is not meant.
    pub text: String,
}

/// Times of a scraper, on which it depends how old metrics are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScraperPace {
    /// Time between two scrapes of a busy pod, and between two pushes.
    pub interval: Duration,
    /// Time between two scrapes of a pod without requests.
    pub idle_interval: Duration,
}

impl Default for ScraperPace {
    fn default() -> Self {
        Self { interval: Duration::from_millis(50), idle_interval: Duration::from_millis(100) }
    }
}

impl ScraperPace {
    /// Returns the age that metrics reach between two pushes.
    fn age(self) -> Duration {
        self.idle_interval.max(self.interval) + self.interval
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PickerConfig {
    /// Returns what may surprise in this configuration, which was read from `value`, with a scraper of
    /// that pace.
    #[must_use]
    pub fn warnings(&self, value: &Value, pace: ScraperPace) -> Vec<ConfigWarning> {
        let mut found = Vec::new();
        let mut add = |path: String, text: String| found.push(ConfigWarning { path, text });
        if value.pointer("/decisionHeader") == Some(&Value::Bool(true)) {
            let text = "answers tell any client what others asked; leave it out in production";
            add("decisionHeader".to_owned(), text.to_owned());
        }
        let has_hold = value.pointer("/envoy/hold").is_some();
        for (index, pool) in self.pools.iter().enumerate() {
            let (path, epp) = match value.pointer(&format!("/pools/{index}")) {
                Some(entry) => {
                    (format!("pools[{index}].config."), entry.get("config").unwrap_or(&Value::Null))
                }
                None => (String::new(), value),
            };
            let part = Part { path: &path, epp, pool };
            part.unused(&mut add);
            part.profiles(&mut add);
            part.handlers(has_hold, &mut add);
            part.flow(&mut add);
            part.staleness(pace, &mut add);
        }
        found
    }
}

/// EndpointPickerConfig of one pool, as it was written and as it was read.
struct Part<'a> {
    /// Path in front of its keys.
    path: &'a str,
    epp: &'a Value,
    pool: &'a PoolConfig,
}

impl<'a> Part<'a> {
    fn plugins(&self) -> impl Iterator<Item = (String, &'a Value)> {
        let plugins = self.epp.get("plugins").and_then(Value::as_array).into_iter().flatten();
        let path = self.path;
        plugins.enumerate().map(move |(index, plugin)| (format!("{path}plugins[{index}]"), plugin))
    }

    /// Returns the path and the type of the first plugin of one of these types.
    fn first(&self, kinds: &[&str]) -> Option<(String, &'a str)> {
        let mut plugins = self.plugins();
        plugins.find_map(|(path, plugin)| {
            let kind = text(plugin, "type").filter(|kind| kinds.contains(kind))?;
            Some((path, kind))
        })
    }

    /// Warns of plugins that are listed and that nothing refers to.
    fn unused(&self, add: &mut impl FnMut(String, String)) {
        let has_profiles = self.epp.get("schedulingProfiles").is_some();
        let mut names = BTreeSet::new();
        // Of two places of the detector the older one does not count.
        let is_double = self.epp.pointer("/flowControl/saturationDetector").is_some();
        let members = self.epp.as_object().into_iter().flatten();
        for (_, value) in members.filter(|(key, _)| !(is_double && *key == "saturationDetector")) {
            referred(value, &mut names);
        }
        for (path, plugin) in self.plugins() {
            let kind = text(plugin, "type").unwrap_or_default();
            let name = text(plugin, "name").unwrap_or(kind);
            let needs_profile = has_profiles
                && ["-scorer", "-filter", "-picker"].iter().any(|part| kind.ends_with(part));
            let needs_flow = ["-policy", "-detector"].iter().any(|part| kind.ends_with(part));
            if names.contains(name) || !(needs_profile || needs_flow) {
                continue;
            }
            let place = if needs_profile { "profile" } else { "part of flowControl" };
            add(path, format!("no {place} refers to {name:?}, so it has no effect"));
        }
    }

    /// Warns of profiles that leave the choice to chance, and of weights that count for nothing.
    fn profiles(&self, add: &mut impl FnMut(String, String)) {
        let profiles = self.epp.get("schedulingProfiles").and_then(Value::as_array);
        for (index, profile) in profiles.into_iter().flatten().enumerate() {
            let path = format!("{}schedulingProfiles[{index}]", self.path);
            let read = self.pool.scheduler.scheduling.profiles.get(index);
            if read.is_some_and(|profile| profile.scorers.is_empty()) {
                let text = "the profile has no scorer, so of the endpoints that its filters keep one is chosen by chance";
                add(path.clone(), text.to_owned());
            }
            let plugins = profile.get("plugins").and_then(Value::as_array);
            for (number, plugin) in plugins.into_iter().flatten().enumerate() {
                if plugin.get("weight").and_then(Value::as_f64).is_some_and(|weight| weight <= 0.0)
                {
                    let path = format!("{path}.plugins[{number}].weight");
                    add(path, "a scorer of weight 0 has no effect".to_owned());
                }
            }
        }
    }

    /// Warns of handlers that do less than their name says, or that a way into Envoy forbids.
    fn handlers(&self, has_hold: bool, add: &mut impl FnMut(String, String)) {
        const DISAGG: [&str; 2] = ["disagg-profile-handler", "pd-profile-handler"];
        let scheduling = &self.pool.scheduler.scheduling;
        if let (
            Handler::Disagg(Disagg { prefill, prefill_decider: None, order, .. }),
            Some((path, _)),
        ) = (&scheduling.handler, self.first(&DISAGG))
        {
            let has_prefill = scheduling.profiles.iter().any(|it| it.name == *prefill);
            if has_prefill && *order == picker_core::StageOrder::DecodeFirst {
                add(
                    path,
                    format!(
                        "without a decider no prompt is computed apart, and the profile {prefill:?} never runs; name one in parameters.deciders.prefill"
                    ),
                );
            }
        }
        let implied = |plugin: &Value| {
            let parameters = plugin.get("parameters");
            let has = |key: &str| parameters.is_some_and(|it| it.get(key).is_some());
            !has("threshold") && !has("deciderPluginName") && !has("prefillDeciderPluginName")
        };
        let older = self.plugins().find(|(_, it)| text(it, "type") == Some("pd-profile-handler"));
        let has_decider = self.first(&["prefix-based-pd-decider"]).is_some();
        if let Some((path, plugin)) = older.filter(|_| !has_decider)
            && implied(plugin)
        {
            let text = "without a decider every prompt is computed apart, as EPPs before llm-d 0.7 did; later ones refuse this";
            add(path, format!("{text}. Name one in parameters.deciderPluginName"));
        }
        let heads = [DISAGG.as_slice(), &["data-parallel-profile-handler"]].concat();
        if let (true, false, Some((path, kind))) =
            (scheduling.sets_headers(), has_hold, self.first(&heads))
        {
            add(
                path,
                format!(
                    "{kind} sets headers, so envoy.hold has to be \"stopIteration\": the chart's picker.way envoyFilter"
                ),
            );
        }
    }

    /// Warns of flow control that does not hold anything, or by other limits than are written down.
    fn flow(&self, add: &mut impl FnMut(String, String)) {
        let section = self.epp.get("flowControl");
        let detector = section.and_then(|section| section.get("saturationDetector"));
        let detector = detector.or_else(|| self.epp.get("saturationDetector"));
        match (&self.pool.flow, section) {
            (None, Some(_)) => {
                let text = "no request is held without the feature gate: add \"flowControl\" to featureGates";
                add(format!("{}flowControl", self.path), text.to_owned());
            }
            (Some(_), _) if detector.is_none() => {
                let text = "requests are held by a utilization-detector with its defaults, as flowControl.saturationDetector names none";
                add(format!("{}featureGates", self.path), text.to_owned());
            }
            (Some(_) | None, _) => (),
        }
    }

    /// Warns of metrics that count as stale before newer ones can be there.
    fn staleness(&self, pace: ScraperPace, add: &mut impl FnMut(String, String)) {
        let Some(stale) = saturated_after(&self.pool.scheduler.detector) else { return };
        let age = pace.age();
        if stale > age {
            return;
        }
        let of_plugin = self.plugins().find(|(_, plugin)| {
            plugin.pointer("/parameters/stalenessPolicy").and_then(Value::as_str)
                == Some("saturated")
        });
        let path = match of_plugin {
            Some((path, _)) => format!("{path}.parameters.stalenessPolicy"),
            None => format!("{}saturationDetector", self.path),
        };
        let then = match self.pool.flow {
            Some(_) => "no request goes on",
            None => "every request below priority 0 is shed",
        };
        let ScraperPace { interval, idle_interval } = pace;
        add(
            path,
            format!(
                "endpoints count as full when their metrics are {stale:?} old, and with the scraper's interval {interval:?} and idleInterval {idle_interval:?} they grow {age:?} old: {then}; raise metricsStalenessThreshold or lower the intervals"
            ),
        );
    }
}

/// Returns the least age from which on metrics make an endpoint count as full.
fn saturated_after(detector: &Detector) -> Option<Duration> {
    match detector {
        Detector::Utilization(it) if it.staleness == Staleness::Saturated => {
            Some(it.metrics_staleness)
        }
        Detector::Utilization(_) | Detector::Concurrency(_) | Detector::Adaptive(_) => None,
        Detector::Max(children) => children.iter().filter_map(saturated_after).min(),
    }
}

/// Collects every text that may be a plugin's name, besides the list of plugins.
fn referred<'v>(value: &'v Value, names: &mut BTreeSet<&'v str>) {
    match value {
        Value::String(text) => drop(names.insert(text)),
        Value::Array(items) => items.iter().for_each(|item| referred(item, names)),
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(key, _)| *key != "type" && *key != "name") {
                // Of a plugin in the list its parameters alone may name others.
                if key != "pools" {
                    referred(value, names);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}
