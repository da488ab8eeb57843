//! From what the operator lists to addresses: watches the endpoints file, looks names up.

use std::{collections::HashSet, time::Duration};

use tokio::time;

use super::{listing::Listing, names::Names};
use crate::{
    board::Pod,
    targets::{self, Target},
};

/// How often the file is read again. Its contents are compared and not its times, which a mounted
/// ConfigMap's symbolic links don't tell; a file of this size takes microseconds.
const FILE_INTERVAL: Duration = Duration::from_millis(250);

/// The list, as far as it is known.
#[derive(Debug)]
pub(crate) struct Listed {
    /// From flags or the configuration.
    fixed: Vec<Target>,
    file: Option<Listing>,
    names: Names,
}

impl Listed {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If it is broken from the start.
    pub(super) async fn load(listed: targets::Listed) -> Result<Self, String> {
        let file = match listed.file {
            Some(path) => Some(Listing::load(path).await?),
            None => None,
        };
        Ok(Self { fixed: listed.endpoints, file, names: Names::default() })
    }

    /// Publishes the pods whenever they may have changed, for ever.
    pub(super) async fn run(mut self, publish: impl Fn(Vec<Pod>)) {
        let mut ticks = time::interval(FILE_INTERVAL);
        let mut changed = true;
        loop {
            ticks.tick().await;
            if let Some(file) = &mut self.file {
                changed |= file.reload().await;
            }
            if changed || self.names.are_old() {
                let targets = self.targets();
                self.names.look_up(&targets).await;
                if let Some(pods) = self.names.pods(&targets) {
                    publish(pods);
                }
                changed = false;
            }
        }
    }

    /// What both the configuration and the file name, the configuration has.
    fn targets(&self) -> Vec<Target> {
        let taken: HashSet<_> = self.fixed.iter().map(|target| &target.authority).collect();
        let listed = self.file.iter().flat_map(Listing::targets);
        let rest = listed.filter(|target| !taken.contains(&target.authority));
        self.fixed.iter().chain(rest).cloned().collect()
    }
}
