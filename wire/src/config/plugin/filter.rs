//! The parameters of filters.

use engine::{
    Filter,
    filter::{LabelValues, Requirement, Selector},
};

use crate::config::{At, ConfigError, at::Object};

/// The filter with the `parameters` of its entry, those left out as they are in `default`.
pub(super) fn read(default: Filter, entry: &Object<'_>) -> Result<Filter, ConfigError> {
    let parameters = |known| entry.child("parameters", known);
    Ok(match default {
        Filter::Role(_) => parameters(&[]).map(|_| default)?,
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

/// A `metav1.LabelSelector`.
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
        let allowed = if needs_values { "at least one" } else { "none" };
        let problem =
            format!("found {} values; allowed with this operator: {allowed}", values.len());
        return Err(at.problem(problem));
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
