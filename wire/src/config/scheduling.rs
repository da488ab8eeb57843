//! The profiles and their handler.

use picker_core::{
    Disagg, Filter, Handler, Profile, Scheduling, Scorer, ScorerWeight, WeightedScorer,
    saturation::Detector,
};

use super::{
    At, ConfigError,
    at::Object,
    plugin::{Plugin, Plugins},
};

/// Reads `schedulingProfiles`, and the handler among the plugins.
pub(super) fn read(object: &Object<'_>, plugins: &Plugins<'_>) -> Result<Scheduling, ConfigError> {
    let of_all = || {
        // A detector that no profile names is there for the gate.
        let for_profiles = plugins.iter().filter(|it| !matches!(it, Plugin::Detector(_)));
        let all = gather(for_profiles.map(|plugin| (plugin, ScorerWeight::ONE)));
        all.map_err(|TwoPickers| object.problem(TwoPickers::PROBLEM))
    };
    let profiles = match object.get("schedulingProfiles") {
        Some(at) => object.settle(profiles(&at, plugins), Vec::new())?,
        None => vec![of_all()?.unwrap_or_default()],
    };
    let mut handlers = plugins.iter().filter_map(Plugin::handler);
    let handler = handlers.next().cloned().unwrap_or_default();
    if handlers.next().is_some() {
        return Err(object.problem("must have one profile handler; has more"));
    }
    let scheduling = Scheduling { profiles, handler };
    if object.is_sound() {
        fits(&scheduling).map_err(|problem| object.problem(problem))?;
    }
    Ok(scheduling)
}

/// Has every profile first drop the endpoints that are full by the detector which holds requests,
/// as the EPP does: a pool that has room may have endpoints that have none.
pub(super) fn drop_full(scheduling: &mut Scheduling, detector: &Detector) {
    let is_one = |filter: &Filter| matches!(filter, Filter::Detector(_));
    if matches!(detector, Detector::Max(_)) {
        return;
    }
    for profile in &mut scheduling.profiles {
        if !profile.filters.iter().any(is_one) {
            profile.filters.insert(0, Filter::Detector(detector.clone()));
        }
    }
}

/// Checks that the handler has the profiles that it runs.
fn fits(scheduling: &Scheduling) -> Result<(), String> {
    let names: Vec<&str> = scheduling.profiles.iter().map(|it| it.name.as_str()).collect();
    let has = |name: &str, role: &str| match names.contains(&name) {
        true => Ok(()),
        false => Err(format!(
            "must have a profile named {name:?}, which is the {role} profile; has {}",
            names.join(", ")
        )),
    };
    match &scheduling.handler {
        Handler::Single | Handler::DataParallel { .. } if names.len() != 1 => {
            let found = names.len();
            Err(format!("must have 1 profile with this profile handler; has {found}"))
        }
        Handler::Header { default, .. } if names.len() > 1 => has(default, "default"),
        Handler::Disagg(Disagg { decode, prefill, prefill_decider, .. }) => {
            has(decode, "decode")?;
            prefill_decider.map_or(Ok(()), |_| has(prefill, "prefill"))
        }
        Handler::Single | Handler::DataParallel { .. } | Handler::Header { .. } => Ok(()),
    }
}

fn profiles(at: &At<'_>, plugins: &Plugins<'_>) -> Result<Vec<Profile>, ConfigError> {
    let mut names: Vec<String> = Vec::new();
    at.each(|at| {
        let profile = profile(at, plugins)?;
        if names.contains(&profile.name) {
            let problem = "must have a name that no other profile has";
            return Err(at.problem(problem).having(format!("{:?}", profile.name)));
        }
        names.push(profile.name.clone());
        Ok(profile)
    })
}

fn profile(at: &At<'_>, plugins: &Plugins<'_>) -> Result<Profile, ConfigError> {
    let object = at.object(&["name", "plugins"])?;
    let entry = |at: &At<'_>| {
        let entry = at.object(&["pluginRef", "weight"])?;
        let weight = entry.read("weight", ScorerWeight::ONE, weight)?;
        Ok((plugins.refer(&entry.required("pluginRef")?)?, weight))
    };
    let weighted = object.read("plugins", Vec::new(), |at| at.each(entry))?;
    let name = object.read("name", "default", At::text)?;
    gather(weighted)
        .map(|profile| match profile {
            Some(profile) => Profile { name: name.to_owned(), ..profile },
            None => Profile::scored(name, Vec::new()),
        })
        .map_err(|TwoPickers| at.problem(TwoPickers::PROBLEM))
}

fn weight(at: &At<'_>) -> Result<ScorerWeight, ConfigError> {
    let weight = at.number().and_then(|weight| ScorerWeight::try_from(weight).ok());
    weight.ok_or_else(|| at.refuse("a number from 0 to 1000000000"))
}

struct TwoPickers;

impl TwoPickers {
    const PROBLEM: &str = "must have one picker in a profile; has more";
}

/// Returns the profile with these plugins, of which only filters, scorers and pickers count; `None`
/// without any.
fn gather<'a>(
    plugins: impl IntoIterator<Item = (&'a Plugin, ScorerWeight)>,
) -> Result<Option<Profile>, TwoPickers> {
    let mut filters = Vec::new();
    let mut scorers = Vec::new();
    let mut picker = None;
    for (plugin, weight) in plugins {
        if let Plugin::Scorer(scorer) = plugin {
            if let Scorer::ContextLength(length) = scorer
                && length.filters
            {
                filters.push(Filter::ContextLength(length.clone()));
            }
            scorers.push(WeightedScorer { scorer: scorer.clone(), weight });
        } else if let Plugin::Filter(filter) = plugin {
            filters.push(filter.clone());
        } else if let Plugin::Detector(detector) = plugin {
            filters.push(Filter::Detector(detector.clone()));
        } else if let Plugin::Picker(other) = plugin
            && picker.replace(*other).is_some()
        {
            return Err(TwoPickers);
        }
    }
    if filters.is_empty() && scorers.is_empty() && picker.is_none() {
        return Ok(None);
    }
    // The EPP adds a max-score-picker where there is none.
    let picker = picker.unwrap_or_default();
    Ok(Some(Profile { name: "default".to_owned(), filters, scorers, picker }))
}
