//! Model rewrites and models within a snapshot.

use picker_core::{
    MODEL_MEMBERS_MAX, MODEL_REWRITES_MAX, MODELS_MAX, MODELS_MEMBERS_MAX, Model, ModelRewrite,
    REWRITE_NAMES_MAX, REWRITE_RULES_MAX, REWRITE_WEIGHT_MAX, RewriteRule, RewriteTarget,
};
use serde::{Deserialize, Serialize};

use super::{MODEL_NAME_MAX, is_object_name};
use crate::frame::{FrameError, bound};

/// Layout of a [`ModelRewrite`].
#[derive(Serialize, Deserialize)]
pub(super) struct Rewrite<'a> {
    name: &'a str,
    #[serde(borrow)]
    rules: Vec<RuleRecord<'a>>,
}

/// Layout of a [`RewriteRule`].
#[derive(Serialize, Deserialize)]
struct RuleRecord<'a> {
    #[serde(borrow)]
    models: Vec<&'a str>,
    /// Names with weights.
    #[serde(borrow)]
    targets: Vec<(&'a str, u32)>,
}

/// Layout of a [`Model`].
#[derive(Serialize, Deserialize)]
pub(super) struct Served<'a> {
    name: &'a str,
    parent: Option<&'a str>,
    members: &'a str,
}

pub(super) fn check(rewrites: &[Rewrite<'_>]) -> Result<(), FrameError> {
    bound(rewrites.len() <= MODEL_REWRITES_MAX, "model rewrites", "256")?;
    for Rewrite { name, rules } in rewrites {
        let fit = is_object_name(name);
        bound(fit, "a model rewrite's name", "a Kubernetes object's: 1 to 253 of a-z 0-9 - .")?;
        bound(rules.len() <= REWRITE_RULES_MAX, "a model rewrite's rules", "64")?;
        rules.iter().try_for_each(RuleRecord::check)?;
    }
    Ok(())
}

pub(super) fn check_models(models: &[Served<'_>]) -> Result<(), FrameError> {
    bound(models.len() <= MODELS_MAX, "models", "1,024")?;
    let ascend = models.is_sorted_by(|one, next| one.name < next.name);
    bound(ascend, "the order of models", "ascending names, each once")?;
    let mut names = models.iter().flat_map(|it| [Some(it.name), it.parent]).flatten();
    bound(names.all(is_model_name), "a model's name", "1 to 255 bytes")?;
    let fit = models.iter().all(|it| it.members.len() <= MODEL_MEMBERS_MAX);
    bound(fit, "the members of a model", "2,048 bytes")?;
    let all: usize = models.iter().map(|it| it.members.len()).sum();
    bound(all <= MODELS_MEMBERS_MAX, "the members of all models", "65,536 bytes")
}

fn is_model_name(name: &str) -> bool {
    (1..=MODEL_NAME_MAX).contains(&name.len())
}

impl<'a> Served<'a> {
    pub(super) fn from_model(model: &'a Model) -> Self {
        let Model { name, parent, members } = model;
        Self { name, parent: parent.as_deref(), members }
    }
}

impl From<Served<'_>> for Model {
    fn from(served: Served<'_>) -> Self {
        let Served { name, parent, members } = served;
        Self {
            name: name.to_owned(),
            parent: parent.map(str::to_owned),
            members: members.to_owned(),
        }
    }
}

impl<'a> Rewrite<'a> {
    pub(super) fn from_rewrite(rewrite: &'a ModelRewrite) -> Self {
        Self {
            name: &rewrite.name,
            rules: rewrite.rules.iter().map(RuleRecord::from_rule).collect(),
        }
    }
}

impl From<Rewrite<'_>> for ModelRewrite {
    fn from(rewrite: Rewrite<'_>) -> Self {
        let rules = rewrite.rules.into_iter().map(RewriteRule::from).collect();
        Self { name: rewrite.name.to_owned(), rules }
    }
}

impl<'a> RuleRecord<'a> {
    fn from_rule(rule: &'a RewriteRule) -> Self {
        Self {
            models: rule.models.iter().map(String::as_str).collect(),
            targets: rule.targets.iter().map(|it| (it.model.as_str(), it.weight)).collect(),
        }
    }

    fn check(&self) -> Result<(), FrameError> {
        let Self { models, targets } = self;
        bound(models.len() <= REWRITE_NAMES_MAX, "the models of a rule", "64")?;
        let some = (1..=REWRITE_NAMES_MAX).contains(&targets.len());
        bound(some, "the targets of a rule", "1 to 64")?;
        let mut names = models.iter().chain(targets.iter().map(|(name, _)| name));
        bound(names.all(|name| is_model_name(name)), "a model's name", "1 to 255 bytes")?;
        let fit = |(_, weight): &(&str, u32)| (1..=REWRITE_WEIGHT_MAX).contains(weight);
        bound(targets.iter().all(fit), "a target's weight", "1 to 1,000,000")
    }
}

impl From<RuleRecord<'_>> for RewriteRule {
    fn from(rule: RuleRecord<'_>) -> Self {
        let target =
            |(model, weight): (&str, u32)| RewriteTarget { model: model.to_owned(), weight };
        Self {
            models: rule.models.into_iter().map(str::to_owned).collect(),
            targets: rule.targets.into_iter().map(target).collect(),
        }
    }
}
