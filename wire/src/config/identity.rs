//! Who asks, and how much it matters.

use engine::{Objective, flow::Priority};

use super::{At, ConfigError};

/// Which headers say who asks, in the order in which they are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Headers with the name of an objective.
    pub objective_headers: Vec<String>,
    /// Headers with the fairness id, which is the tenant.
    pub fairness_headers: Vec<String>,
}

impl Default for Identity {
    /// The EPP's names, then their older names.
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            objective_headers: owned(&[
                "x-llm-d-inference-objective",
                "x-gateway-inference-objective",
            ]),
            fairness_headers: owned(&[
                "x-llm-d-inference-fairness-id",
                "x-gateway-inference-fairness-id",
                "x-gateway-fairness-id",
            ]),
        }
    }
}

pub(super) fn read(at: &At<'_>) -> Result<Identity, ConfigError> {
    let object = at.object(&["objectiveHeaders", "fairnessHeaders"])?;
    let default = Identity::default();
    let headers = |key, default| object.get(key).map_or(Ok(default), |at| headers(&at));
    Ok(Identity {
        objective_headers: headers("objectiveHeaders", default.objective_headers)?,
        fairness_headers: headers("fairnessHeaders", default.fairness_headers)?,
    })
}

/// Header names, in lower case as Envoy has them.
fn headers(at: &At<'_>) -> Result<Vec<String>, ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    at.list()?
        .iter()
        .map(|at| {
            let name = at.text()?;
            if name.bytes().all(token) {
                return Ok(name.to_ascii_lowercase());
            }
            Err(at.refuse("a header's name"))
        })
        .collect()
}

pub(super) fn objectives(at: &At<'_>) -> Result<Vec<Objective>, ConfigError> {
    let mut objectives: Vec<Objective> = Vec::new();
    for at in at.list()? {
        let object = at.object(&["name", "priority"])?;
        let name = object.required("name")?;
        if objectives.iter().any(|other| name.text() == Ok(&*other.name)) {
            return Err(name.refuse("a name that no other objective has"));
        }
        let priority = object.get("priority").map_or(Ok(0), |at| at.signed())?;
        let priority = Priority(priority);
        objectives.push(Objective { name: name.text()?.to_owned(), priority });
    }
    Ok(objectives)
}
