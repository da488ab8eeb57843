//! The parameters of filters.

use picker_core::{
    Filter,
    filter::{
        AttributeLimit, HeadroomTier, LabelValues, LoadMetric, OnMissing, Operator, PrefixAffinity,
        Requirement, Selector, TopologyFloor, TtftSource, UtilizationLimits,
    },
    score::Level,
};

use super::scorer;
use crate::config::{At, ConfigError, at::Object};

/// Reads the filter with the `parameters` of its entry, those left out as they are in `default`.
pub(super) fn read(default: Filter, entry: &Object<'_>) -> Result<Filter, ConfigError> {
    let parameters = |known| entry.child("parameters", known);
    Ok(match default {
        Filter::Role(_) => parameters(&[]).map(|_| default)?,
        Filter::PrefixAffinity(default) => Filter::PrefixAffinity(affinity(default, entry)?),
        Filter::SessionAffinity(default) => {
            Filter::SessionAffinity(scorer::session_affinity(default, entry)?)
        }
        Filter::Utilization(_) => Filter::Utilization(utilization(entry)?),
        Filter::Attribute(_) => Filter::Attribute(attribute(entry)?),
        Filter::Topology(default) => {
            let parameters = parameters(&["minAffinity", "topologyProducerName"])?;
            let level =
                parameters.read("minAffinity", default.level, |at| at.one_of(&Level::NAMED))?;
            Filter::Topology(TopologyFloor { level, ..default })
        }
        Filter::HeadroomTier(default) => {
            let share = |at: &At<'_>| at.within(0.0, 1.0);
            let exploration = parameters(&["epsilonExploreNeg"])?.read(
                "epsilonExploreNeg",
                default.exploration,
                share,
            )?;
            Filter::HeadroomTier(HeadroomTier { exploration })
        }
        // Parts of the scorer and of the detector of that type, which read their parameters.
        Filter::ContextLength(_) | Filter::Detector(_) => default,
        Filter::LabelSelector(_) => {
            Filter::LabelSelector(selector(&parameters(&["matchLabels", "matchExpressions"])?)?)
        }
        Filter::ByLabel(_) => {
            let parameters = parameters(&["label", "validValues", "allowsNoLabel"])?;
            Filter::ByLabel(LabelValues {
                label: parameters.required("label")?.text()?.to_owned(),
                values: parameters.read("validValues", Vec::new(), texts)?,
                without: parameters.read("allowsNoLabel", false, At::flag)?,
            })
        }
    })
}

/// Reads a `metav1.LabelSelector`.
fn selector(parameters: &Object<'_>) -> Result<Selector, ConfigError> {
    let mut requirements = Vec::new();
    for (key, at) in parameters.read("matchLabels", Vec::new(), At::entries)? {
        requirements.push(Requirement::In(key.to_owned(), vec![at.text()?.to_owned()]));
    }
    for at in parameters.read("matchExpressions", Vec::new(), At::list)? {
        requirements.push(requirement(&at)?);
    }
    Ok(Selector(requirements))
}

fn requirement(at: &At<'_>) -> Result<Requirement, ConfigError> {
    let expression = at.object(&["key", "operator", "values"])?;
    let key = expression.required("key")?.text()?.to_owned();
    let values = expression.read("values", Vec::new(), texts)?;
    let operator = expression.required("operator")?;
    let needs_values = operator.one_of(&[
        ("In", true),
        ("NotIn", true),
        ("Exists", false),
        ("DoesNotExist", false),
    ])?;
    if needs_values == values.is_empty() {
        let allowed = if needs_values { "a value or more" } else { "no values" };
        return Err(operator.problem(format!("must have {allowed}")).having(operator.found()));
    }
    Ok(match operator.text()? {
        "In" => Requirement::In(key, values),
        "NotIn" => Requirement::NotIn(key, values),
        "Exists" => Requirement::Exists(key),
        _ => Requirement::DoesNotExist(key),
    })
}

fn texts(at: &At<'_>) -> Result<Vec<String>, ConfigError> {
    at.list()?.iter().map(|at| at.text().map(str::to_owned)).collect()
}

fn affinity(default: PrefixAffinity, entry: &Object<'_>) -> Result<PrefixAffinity, ConfigError> {
    let parameters = entry.child(
        "parameters",
        &[
            "affinityThreshold",
            "explorationProbability",
            "maxTTFTPenaltyMs",
            "ttftSource",
            "peakPrefillThroughput",
            "prefixMatchInfoProducerName",
            "latencyPredictionInfoProducerName",
            "inFlightLoadProducerName",
        ],
    )?;
    let share = |key, default| parameters.read(key, default, |at: &At<'_>| at.within(0.0, 1.0));
    let sources = [("prefillThroughput", false), ("latencyPredictor", true)];
    let predicts = parameters.read("ttftSource", false, |at| at.one_of(&sources))?;
    let TtftSource::Throughput(rate) = PrefixAffinity::default().source else {
        return Ok(default);
    };
    let rate = parameters.read("peakPrefillThroughput", rate, |at| at.within(1.0, 1e9))?;
    Ok(PrefixAffinity {
        threshold: share("affinityThreshold", default.threshold)?,
        exploration: share("explorationProbability", default.exploration)?,
        penalty_max: parameters.read("maxTTFTPenaltyMs", default.penalty_max, scorer::millis)?,
        source: if predicts { TtftSource::Predictor } else { TtftSource::Throughput(rate) },
    })
}

fn attribute(entry: &Object<'_>) -> Result<AttributeLimit, ConfigError> {
    let known = ["attribute", "producer", "onMissing", "fallbackOnEmpty", "algorithm"];
    let parameters = entry.child("parameters", &known)?;
    let algorithm = parameters.required("algorithm")?.object(&["type", "threshold"])?;
    algorithm.required("type")?.one_of(&[("threshold", ())])?;
    let threshold = algorithm.required("threshold")?.object(&["operator", "value"])?;
    Ok(AttributeLimit {
        key: parameters.required("attribute")?.text()?.to_owned(),
        operator: threshold.required("operator")?.one_of(&Operator::NAMED)?,
        value: threshold.required("value")?.within(-1e18, 1e18)?,
        on_missing: parameters
            .read("onMissing", OnMissing::Pass, |at| at.one_of(&OnMissing::NAMED))?,
        fallback_on_empty: parameters.read("fallbackOnEmpty", false, At::flag)?,
    })
}

fn utilization(entry: &Object<'_>) -> Result<UtilizationLimits, ConfigError> {
    let parameters = entry.child("parameters", &["conditions", "fallbackOnEmpty"])?;
    let limit = |at: &At<'_>| {
        let condition = at.object(&["type", "maxValue"])?;
        let gauge = condition.required("type")?.one_of(&LoadMetric::NAMED)?;
        Ok((gauge, condition.required("maxValue")?.within(0.0, 1e9)?))
    };
    let conditions = parameters.required("conditions")?.list()?;
    Ok(UtilizationLimits {
        limits: conditions.iter().map(limit).collect::<Result<_, ConfigError>>()?,
        fallback_on_empty: parameters.read("fallbackOnEmpty", false, At::flag)?,
    })
}
