//! The models of a pool: those that any of its pods says it serves.

use std::{sync::Arc, time::Duration};

use picker_core::Model;
use tokio::{sync::watch, time};

use crate::pool::{ScrapeState, Trouble};

/// Time between two looks at what the pods say: a list that is a second late does no harm, and a union of many pods with
/// many adapters takes milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Models of one pod, none before it has said any.
type Listed = (watch::Receiver<ScrapeState>, watch::Receiver<Arc<[Model]>>);

/// The lists of a pool's pods.
pub(super) struct PodModels {
    pods: Vec<Listed>,
    /// The lists that were united last.
    united: Option<Vec<Arc<[Model]>>>,
}

impl PodModels {
    pub(super) const fn new(pods: Vec<Listed>) -> Self {
        Self { pods, united: None }
    }

    /// Keeps the union of all lists up to date, until aborted.
    pub(super) async fn unite(mut self, models: watch::Sender<Arc<[Model]>>) {
        loop {
            if let Some(union) = self.changed() {
                models.send_if_modified(|known| {
                    let is_new = **known != *union;
                    *known = union.into();
                    is_new
                });
            }
            time::sleep(LOOK_EVERY).await;
        }
    }

    /// Returns the models of all pods that are up, if they may be others than those that were returned last.
    fn changed(&mut self) -> Option<Vec<Model>> {
        let is_up = |state: &ScrapeState| !matches!(state.trouble, Some(Trouble::Down(_)));
        let up = self.pods.iter().filter(|(state, _)| is_up(&state.borrow()));
        let lists: Vec<_> = up.map(|(_, models)| Arc::clone(&models.borrow())).collect();
        let is_same = |before: &Vec<Arc<[Model]>>| {
            before.len() == lists.len() && before.iter().zip(&lists).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if self.united.as_ref().is_some_and(is_same) {
            return None;
        }
        let union = wire::models::union(lists.iter().map(AsRef::as_ref));
        self.united = Some(lists);
        Some(union)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Model {
        Model { name: name.to_owned(), ..Model::default() }
    }

    #[test]
    fn pods_that_are_up_are_listed_and_nothing_is_done_twice() {
        let (states, pods): (Vec<_>, Vec<_>) = ["a", "b"]
            .map(|name| {
                let (state_in, state) = watch::channel(ScrapeState::default());
                let (models_in, models) = watch::channel([model(name), model("both")].into());
                ((state_in, models_in), (state, models))
            })
            .into_iter()
            .unzip();
        let mut all = PodModels::new(pods);
        let names = |models: Option<Vec<Model>>| {
            models.map(|all| all.into_iter().map(|it| it.name).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(names(all.changed()).as_deref(), Some("a b both"));
        assert_eq!(all.changed(), None);
        states[0].0.send_modify(|it| it.trouble = Some(Trouble::Down("refused".to_owned())));
        assert_eq!(names(all.changed()).as_deref(), Some("b both"));
        states[1].1.send_replace([model("c")].into());
        assert_eq!(names(all.changed()).as_deref(), Some("c"));
    }
}
