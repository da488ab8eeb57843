//! Rewrites: the model that a request goes to in place of the one that it names (EPP:
//! InferenceModelRewrite).

use std::collections::{BTreeMap, btree_map::Entry};

/// The most rewrites of one pool. A pool has a handful: one per canary or alias.
pub const MODEL_REWRITES_MAX: usize = 256;
/// The most rules of one rewrite.
pub const REWRITE_RULES_MAX: usize = 64;
/// The most names that one rule matches, and the most that it chooses between.
pub const REWRITE_NAMES_MAX: usize = 64;
/// The highest weight (EPP: the CRD's maximum). 64 of them stay far below 64 bits.
pub const REWRITE_WEIGHT_MAX: u32 = 1_000_000;

/// An object with rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelRewrite {
    /// The object's name, for metrics.
    pub name: String,
    /// The object's rules, in its order.
    pub rules: Vec<RewriteRule>,
}

/// Requests for some models, and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteRule {
    /// The models that it is about, by their whole names. None is every model.
    pub models: Vec<String>,
    /// Models that the rule chooses between.
    pub targets: Vec<RewriteTarget>,
}

/// A model that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteTarget {
    /// Name of the model, as the model servers know it.
    pub model: String,
    /// Share of the requests, among the weights of all targets of the rule.
    pub weight: u32,
}

/// All rewrites of a pool, ready to be asked.
///
/// A rule that names the model comes before one that is about every model; among equals the first
/// counts, so the list is to be in the order of age.
#[derive(Clone, Debug, Default)]
pub struct ModelRewrites {
    exact: BTreeMap<String, Choice>,
    every: Option<Choice>,
}

/// The targets of a rule, and the object that the rule is from.
#[derive(Clone, Debug)]
struct Choice {
    rewrite: String,
    targets: Vec<RewriteTarget>,
}

/// The answer of a rule for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten<'a> {
    /// The name of the object with the rule.
    pub rewrite: &'a str,
    /// The model that the request is sent to.
    pub model: &'a str,
}

impl ModelRewrites {
    /// Compiles the objects, the oldest first.
    #[must_use]
    pub fn new(rewrites: &[ModelRewrite]) -> Self {
        let mut all = Self::default();
        for ModelRewrite { name, rules } in rewrites {
            for rule in rules {
                all.add(name, rule);
            }
        }
        all
    }

    fn add(&mut self, rewrite: &str, rule: &RewriteRule) {
        let choice = || Choice { rewrite: rewrite.to_owned(), targets: rule.targets.clone() };
        if rule.models.is_empty() {
            self.every.get_or_insert_with(choice);
        }
        for model in &rule.models {
            if let Entry::Vacant(room) = self.exact.entry(model.clone()) {
                room.insert(choice());
            }
        }
    }

    /// True if there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.every.is_none()
    }

    /// Returns the model for a request that names `model`, or none; `random` is any number of 64
    /// bits. `None` if no rule is about it.
    #[must_use]
    pub fn choose(&self, model: Option<&str>, random: u64) -> Option<Rewritten<'_>> {
        let exact = model.and_then(|model| self.exact.get(model));
        let Choice { rewrite, targets } = exact.or(self.every.as_ref())?;
        weighted(targets, random).map(|target| Rewritten { rewrite, model: &target.model })
    }

    /// Returns the names that requests may use for other models, each with the one that most of its requests
    /// are sent to.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exact.iter().filter_map(|(name, choice)| {
            let most = choice.targets.iter().rev().max_by_key(|target| target.weight)?;
            Some((name.as_str(), most.model.as_str()))
        })
    }
}

/// Returns one target, each with a chance in proportion to its weight.
fn weighted(targets: &[RewriteTarget], random: u64) -> Option<&RewriteTarget> {
    let total: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    // The number's place within 64 bits, as a place within the total: no modulo, no bias to speak of.
    let place = (u128::from(random) * u128::from(total)) >> 64;
    let mut end = 0;
    targets.iter().find(|target| {
        end += u128::from(target.weight);
        place < end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule<'a> = (&'a [&'a str], &'a [(&'a str, u32)]);

    fn rewrite(name: &str, rules: &[Rule<'_>]) -> ModelRewrite {
        let target = |(model, weight): &(&str, u32)| RewriteTarget {
            model: (*model).to_owned(),
            weight: *weight,
        };
        let rules = rules.iter().map(|(models, targets)| RewriteRule {
            models: models.iter().map(|&model| model.to_owned()).collect(),
            targets: targets.iter().map(target).collect(),
        });
        ModelRewrite { name: name.to_owned(), rules: rules.collect() }
    }

    fn chosen(rewrites: &ModelRewrites, model: Option<&str>) -> String {
        rewrites.choose(model, 0).map_or_else(
            || "as it is".to_owned(),
            |Rewritten { rewrite, model }| format!("{model} by {rewrite}"),
        )
    }

    #[test]
    fn exact_comes_before_every_then_age_then_order() {
        let rewrites = ModelRewrites::new(&[
            rewrite(
                "old",
                &[(&[], &[("any", 1)]), (&["a"], &[("first", 1)]), (&["a"], &[("x", 1)])],
            ),
            rewrite("new", &[(&["a", "b"], &[("second", 1)]), (&[], &[("y", 1)])]),
        ]);
        let of = |model| chosen(&rewrites, model);
        insta::assert_snapshot!(
            [of(Some("a")), of(Some("b")), of(Some("c")), of(None)].join("\n"),
            @"
        first by old
        second by new
        any by old
        any by old
        "
        );
        assert_eq!(rewrites.aliases().collect::<Vec<_>>(), [("a", "first"), ("b", "second")]);
    }

    #[test]
    fn without_a_rule_for_every_model_others_stay_as_they_are() {
        let rewrites = ModelRewrites::new(&[rewrite("r", &[(&["a"], &[("b", 1)])])]);
        assert_eq!(chosen(&rewrites, Some("A")), "as it is");
        assert_eq!(chosen(&rewrites, None), "as it is");
        assert!(ModelRewrites::new(&[]).is_empty() && !rewrites.is_empty());
    }

    #[test]
    fn weights_are_shares_and_a_weight_of_zero_is_never_chosen() {
        let rewrites =
            ModelRewrites::new(&[rewrite("r", &[(&[], &[("a", 3), ("never", 0), ("b", 1)])])]);
        let mut rng = crate::model::Rng::new(7);
        let mut counts = BTreeMap::new();
        for _ in 0..40_000 {
            let chosen = rewrites.choose(None, rng.draw()).map(|it| it.model);
            *counts.entry(chosen).or_insert(0_u32) += 1;
        }
        let share = |model| counts.get(&Some(model)).copied().unwrap_or_default();
        assert!((29_500..30_500).contains(&share("a")), "{counts:?}");
        assert_eq!(share("a") + share("b"), 40_000, "{counts:?}");
        let last = rewrites.choose(None, u64::MAX).map(|it| it.model);
        assert_eq!(last, Some("b"));
    }
}
