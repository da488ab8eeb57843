//! The models of a pool: what may be asked for, and what it is sent as.

use std::collections::BTreeMap;

use super::{Model, ModelRewrite, ModelRewrites, Rewritten};

/// The models of one pool, as one worker knows them.
#[derive(Clone, Debug, Default)]
pub struct Models {
    configured: Vec<ModelRewrite>,
    /// Rewrites of the latest snapshot.
    brought: Vec<ModelRewrite>,
    rewrites: ModelRewrites,
    /// Models that the endpoints say they serve, by the latest snapshot.
    served: Vec<Model>,
}

impl Models {
    /// Goes by these rewrites before any that a snapshot brings.
    pub fn configure(&mut self, configured: &[ModelRewrite]) {
        if self.configured != configured {
            configured.clone_into(&mut self.configured);
            self.compile();
        }
    }

    /// Goes by what a snapshot brings. It is mostly what the one before it brought.
    pub fn renew(&mut self, rewrites: Vec<ModelRewrite>, served: Vec<Model>) {
        self.served = served;
        if self.brought != rewrites {
            self.brought = rewrites;
            self.compile();
        }
    }

    fn compile(&mut self) {
        let all: Vec<_> = self.configured.iter().chain(&self.brought).cloned().collect();
        self.rewrites = ModelRewrites::new(&all);
    }

    /// True if any model is sent as another.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        !self.rewrites.is_empty()
    }

    /// Returns the model that a request for this model, or for none, is sent to; see
    /// [`ModelRewrites::choose`].
    #[must_use]
    pub fn choose(&self, model: Option<&str>, random: u64) -> Option<Rewritten<'_>> {
        self.rewrites.choose(model, random)
    }

    /// Returns all models that may be asked for, by ascending name: those that are served, and
    /// those that are served under another name. Each comes with the model that serves it, as far as an
    /// endpoint says. `None` where no endpoint has said what it serves.
    #[must_use]
    pub fn list(&self) -> Option<BTreeMap<&str, Option<&Model>>> {
        if self.served.is_empty() {
            return None;
        }
        let aliases = self.rewrites.aliases().map(|(name, target)| (name, self.served(target)));
        let served = self.served.iter().map(|it| (&*it.name, Some(it)));
        Some(aliases.chain(served).collect())
    }

    /// Returns the model that this one was made for, which is itself unless it is an adapter; `None` where no endpoint says
    /// that it serves it.
    #[must_use]
    pub fn base(&self, name: &str) -> Option<&str> {
        let model = self.served(name)?;
        Some(model.parent.as_deref().unwrap_or(&model.name))
    }

    fn served(&self, name: &str) -> Option<&Model> {
        let found = self.served.binary_search_by(|it| it.name.as_str().cmp(name));
        found.ok().and_then(|at| self.served.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RewriteRule, RewriteTarget};

    fn rewrite(from: &str, to: &str) -> ModelRewrite {
        let target = RewriteTarget { model: to.to_owned(), weight: 1 };
        let rule = RewriteRule { models: vec![from.to_owned()], targets: vec![target] };
        ModelRewrite { name: format!("{from}-to-{to}"), rules: vec![rule] }
    }

    fn model(name: &str, parent: Option<&str>) -> Model {
        Model { name: name.to_owned(), parent: parent.map(str::to_owned), ..Model::default() }
    }

    #[test]
    fn what_is_configured_comes_before_what_a_snapshot_brings() {
        let mut models = Models::default();
        assert!(!models.rewrites() && models.choose(Some("a"), 0).is_none());
        models.renew(vec![rewrite("a", "snapshot"), rewrite("b", "snapshot")], Vec::new());
        models.configure(&[rewrite("a", "configured")]);
        let sent =
            |models: &Models, name| models.choose(Some(name), 0).map(|it| it.model.to_owned());
        assert_eq!(sent(&models, "a").as_deref(), Some("configured"));
        assert_eq!(sent(&models, "b").as_deref(), Some("snapshot"));
        models.renew(Vec::new(), Vec::new());
        assert_eq!((sent(&models, "b"), models.rewrites()), (None, true));
    }

    #[test]
    fn the_list_has_adapters_and_aliases_once_something_is_served() {
        let mut models = Models::default();
        models.configure(&[rewrite("alias", "base"), rewrite("sql", "base")]);
        assert_eq!(models.list(), None);
        models.renew(Vec::new(), vec![model("base", None), model("sql", Some("base"))]);
        let by = |it: (&str, Option<&Model>)| format!("{} by {:?}", it.0, it.1.map(|it| &*it.name));
        let listed: Vec<_> = models.list().unwrap().into_iter().map(by).collect();
        let expected =
            [r#"alias by Some("base")"#, r#"base by Some("base")"#, r#"sql by Some("sql")"#];
        assert_eq!(listed, expected);
        let bases = ["base", "sql", "alias"].map(|name| models.base(name));
        assert_eq!(bases, [Some("base"), Some("base"), None]);
    }
}
