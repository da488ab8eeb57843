//! The parameters of flow control's policies.

use std::{collections::BTreeMap, num::NonZeroU16};

use picker_core::flow::{
    BandSelectionPolicy, Domain, FairnessId, FairnessPolicy, FairnessWeight, Floors, Holdback,
    Priority, Share, TokenCost, UsageLimitKind, UsageLimitPolicy,
};

use crate::config::{At, ConfigError, at::Object};

pub(super) fn fairness(
    policy: FairnessPolicy,
    entry: &Object<'_>,
) -> Result<FairnessPolicy, ConfigError> {
    let FairnessPolicy::TokenFair(default) = policy else {
        return entry.child("parameters", &[]).map(|_| policy);
    };
    let parameters =
        entry.child("parameters", &["inputTokenCost", "outputTokenCost", "weights"])?;
    let cost = |at: &At<'_>| short(at, 0);
    Ok(FairnessPolicy::TokenFair(TokenCost {
        prompt: parameters.read("inputTokenCost", default.prompt, cost)?,
        output: parameters.read("outputTokenCost", default.output, cost)?,
        weights: parameters.read("weights", default.weights, weights)?,
    }))
}

fn weights(at: &At<'_>) -> Result<BTreeMap<FairnessId, FairnessWeight>, ConfigError> {
    let weight = |(tenant, at): (&str, At<'_>)| {
        let weight = NonZeroU16::new(short(&at, 1)?).unwrap_or(NonZeroU16::MIN);
        Ok((FairnessId::new(tenant), FairnessWeight(weight)))
    };
    at.entries()?.into_iter().map(weight).collect()
}

fn short(at: &At<'_>, min: u32) -> Result<u16, ConfigError> {
    at.whole(min, u16::MAX.into()).map(|number| u16::try_from(number).unwrap_or(u16::MAX))
}

pub(super) fn usage_limit(
    kind: UsageLimitKind,
    entry: &Object<'_>,
) -> Result<UsageLimitPolicy, ConfigError> {
    match kind {
        UsageLimitKind::Static => {
            let parameters = entry.child("parameters", &["threshold"])?;
            // Above 1 is a queue on purpose; far above it is a slip of units, such as per cent.
            let threshold = parameters.read("threshold", 1.0, |at| at.within(0.0, 10.0))?;
            Ok(UsageLimitPolicy::Static { threshold })
        }
        UsageLimitKind::PriorityHoldback => holdback(entry).map(UsageLimitPolicy::PriorityHoldback),
        UsageLimitKind::SoftReflectiveCeiling => {
            entry.child("parameters", &[]).map(|_| UsageLimitPolicy::SoftReflectiveCeiling)
        }
    }
}

fn holdback(entry: &Object<'_>) -> Result<Holdback, ConfigError> {
    let known = ["shape", "domain", "minCeiling", "maxCeiling", "ceilings"];
    let parameters = entry.child("parameters", &known)?;
    let domains =
        [("rank", Some(Domain::Rank)), ("value", Some(Domain::Value)), ("explicit", None)];
    let domain = parameters.read("domain", Some(Domain::Rank), |at| at.one_of(&domains))?;
    let belongs: &[&str] = match domain {
        Some(_) => &["domain", "shape", "minCeiling", "maxCeiling"],
        None => &["domain", "ceilings"],
    };
    let parameters = entry.child("parameters", belongs)?;
    let built = match domain {
        None => Holdback::explicit(by_priority(&parameters.required("ceilings")?)?),
        Some(domain) => {
            parameters.read("shape", (), |at| at.one_of(&[("linear", ())]))?;
            let ceiling = |at: &At<'_>| at.within(0.0, 1.0);
            let lowest = ceiling(&parameters.required("minCeiling")?)?;
            Holdback::spread(domain, lowest, parameters.read("maxCeiling", 1.0, ceiling)?)
        }
    };
    built.map_err(|invalid| parameters.problem(invalid.to_string()))
}

pub(super) fn band_selection(
    policy: BandSelectionPolicy,
    entry: &Object<'_>,
) -> Result<BandSelectionPolicy, ConfigError> {
    let BandSelectionPolicy::Weighted(default) = policy else {
        return entry.child("parameters", &[]).map(|_| policy);
    };
    let parameters = entry.child("parameters", &["defaultFloor", "floors"])?;
    let floors = parameters.read("floors", BTreeMap::new(), by_priority)?;
    Ok(BandSelectionPolicy::Weighted(Floors {
        default: parameters
            .read("defaultFloor", default.default, |at| at.within(0.0, 1.0).map(Share::clamped))?,
        bands: floors.into_iter().map(|(band, floor)| (band, Share::clamped(floor))).collect(),
    }))
}

/// Reads numbers from 0 to 1 by priority, which JSON wants as text.
fn by_priority(at: &At<'_>) -> Result<BTreeMap<Priority, f64>, ConfigError> {
    let number = |(key, at): (&str, At<'_>)| {
        let priority =
            key.parse().map_err(|_| at.problem("must have a priority as its key, as in \"10\""))?;
        Ok((Priority(priority), at.within(0.0, 1.0)?))
    };
    at.entries()?.into_iter().map(number).collect()
}
