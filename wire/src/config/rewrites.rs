//! Model rewrites, as InferenceModelRewrite has them.

use picker_core::{
    MODEL_REWRITES_MAX, ModelRewrite, REWRITE_NAMES_MAX, REWRITE_RULES_MAX, REWRITE_WEIGHT_MAX,
    RewriteRule, RewriteTarget,
};

use super::{At, ConfigError, at::Object};
use crate::snapshot::MODEL_NAME_MAX;

/// Reads a list of rewrites, each with the `spec.rules` of an InferenceModelRewrite.
pub(super) fn read(at: &At<'_>) -> Result<Vec<ModelRewrite>, ConfigError> {
    at_most(at, MODEL_REWRITES_MAX)?.iter().map(rewrite).collect()
}

fn rewrite(at: &At<'_>) -> Result<ModelRewrite, ConfigError> {
    let object = at.object(&["name", "rules"])?;
    let name = object.read("name", "configured", At::text)?.to_owned();
    let rules = at_most(&object.required("rules")?, REWRITE_RULES_MAX)?;
    Ok(ModelRewrite { name, rules: rules.iter().map(rule).collect::<Result<_, _>>()? })
}

fn rule(at: &At<'_>) -> Result<RewriteRule, ConfigError> {
    let object = at.object(&["matches", "targets"])?;
    let matches = object.read("matches", Vec::new(), |at| at_most(at, REWRITE_NAMES_MAX))?;
    let at = object.required("targets")?;
    let targets = at_most(&at, REWRITE_NAMES_MAX)?;
    if targets.is_empty() {
        return Err(at.refuse_length(0, &format!("1 to {REWRITE_NAMES_MAX}")));
    }
    let models = matches.iter().map(exact).collect::<Result<_, _>>()?;
    let targets: Vec<_> = targets.iter().map(target).collect::<Result<_, _>>()?;
    let weighted = targets.iter().filter(|(_, weight)| weight.is_some()).count();
    if weighted > 0 && weighted < targets.len() {
        return Err(at.problem(format!(
            "must all have a weight or none; {weighted} of {} have",
            targets.len()
        )));
    }
    let target = |(model, weight): (String, Option<u32>)| RewriteTarget {
        model,
        weight: weight.unwrap_or(1),
    };
    Ok(RewriteRule { models, targets: targets.into_iter().map(target).collect() })
}

/// Reads the model of a match.
fn exact(at: &At<'_>) -> Result<String, ConfigError> {
    let object = at.object(&["model"])?;
    let model = object.required("model")?.object(&["type", "value"])?;
    model.read("type", (), |at| at.one_of(&[("Exact", ())]))?;
    name(&model, "value")
}

fn target(at: &At<'_>) -> Result<(String, Option<u32>), ConfigError> {
    let object = at.object(&["modelRewrite", "weight"])?;
    let weight = object.read("weight", None, |at| at.whole(1, REWRITE_WEIGHT_MAX).map(Some))?;
    Ok((name(&object, "modelRewrite")?, weight))
}

fn name(object: &Object<'_>, key: &str) -> Result<String, ConfigError> {
    let at = object.required(key)?;
    let name = at.text()?;
    if name.len() > MODEL_NAME_MAX {
        return Err(at.refuse("a model's name of at most 255 bytes"));
    }
    Ok(name.to_owned())
}

fn at_most<'a>(at: &At<'a>, max: usize) -> Result<Vec<At<'a>>, ConfigError> {
    let list = at.list()?;
    if list.len() > max {
        return Err(at.refuse_length(list.len(), &format!("at most {max}")));
    }
    Ok(list)
}
