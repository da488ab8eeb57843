//! From what the operator lists to addresses: watches the endpoints file, looks names up.

mod listing;
mod names;

use std::{collections::HashSet, path::PathBuf, time::Duration};

use tokio::{sync::watch, time};
use tracing::warn;

use crate::{
    board::Pod,
    targets::{TARGETS_MAX, Target},
};
use listing::Listing;
use names::Names;

/// How often the file is read again. Its contents are compared and not its times, which a mounted
/// ConfigMap's symbolic links don't tell; a file of this size takes microseconds.
const FILE_INTERVAL: Duration = Duration::from_millis(250);

/// Where the list of pods comes from.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// From flags.
    fixed: Vec<Target>,
    file: Option<Listing>,
    names: Names,
}

impl Discovery {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If there is no good list to begin with.
    pub(crate) async fn load(fixed: Vec<Target>, path: Option<PathBuf>) -> Result<Self, String> {
        let file = match path {
            Some(path) => Some(Listing::load(path).await?),
            None => None,
        };
        Ok(Self { fixed, file, names: Names::default() })
    }

    /// Publishes the pods at first and whenever they change, until nobody listens.
    pub(crate) async fn run(mut self, pods: watch::Sender<Option<Vec<Pod>>>) {
        let mut ticks = time::interval(FILE_INTERVAL);
        let mut changed = true;
        while !pods.is_closed() {
            ticks.tick().await;
            if let Some(file) = &mut self.file {
                changed |= file.reload().await;
            }
            if changed || self.names.are_old() {
                let targets = self.targets();
                self.names.look_up(&targets).await;
                if let Some(list) = self.names.pods(&targets) {
                    publish(&pods, list);
                }
                changed = false;
            }
        }
    }

    /// Flags first. What both name, the flags have.
    fn targets(&self) -> Vec<Target> {
        let taken: HashSet<_> = self.fixed.iter().map(|target| &target.authority).collect();
        let listed = self.file.iter().flat_map(Listing::targets);
        let rest = listed.filter(|target| !taken.contains(&target.authority));
        self.fixed.iter().chain(rest).cloned().collect()
    }
}

fn publish(pods: &watch::Sender<Option<Vec<Pod>>>, mut list: Vec<Pod>) {
    pods.send_if_modified(|last| {
        let over = list.len().saturating_sub(TARGETS_MAX);
        list.truncate(TARGETS_MAX);
        if last.as_ref() == Some(&list) {
            return false;
        }
        if over > 0 {
            warn!("more than {TARGETS_MAX} endpoints: the last {over} are left out");
        }
        *last = Some(list);
        true
    });
}
