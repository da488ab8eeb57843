//! The discovery of listed endpoints: watches the endpoints file, and looks names up.

use std::{collections::HashSet, time::Duration};

use tokio::time;

use super::{endpoints_file::EndpointsFile, names::NameCache};
use crate::{
    pool::Pod,
    settings::{ListedEndpoints, Target},
};

/// Time after which the file is read again. Its contents are compared and not its times, which a
/// mounted ConfigMap's symbolic links don't show; a file of this size takes microseconds.
const FILE_INTERVAL: Duration = Duration::from_millis(250);

/// A list of endpoints, as far as it is known.
#[derive(Debug)]
pub(crate) struct ListedDiscovery {
    /// Endpoints of flags or the configuration.
    fixed: Vec<Target>,
    file: Option<EndpointsFile>,
    names: NameCache,
}

impl ListedDiscovery {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If the file is broken from the start.
    pub(super) async fn load(listed: ListedEndpoints) -> Result<Self, String> {
        let file = match listed.file {
            Some(path) => Some(EndpointsFile::load(path).await?),
            None => None,
        };
        Ok(Self { fixed: listed.endpoints, file, names: NameCache::default() })
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

    /// Returns all targets. A target of the configuration and the file is that of the
    /// configuration.
    fn targets(&self) -> Vec<Target> {
        let taken: HashSet<_> = self.fixed.iter().map(|target| &target.authority).collect();
        let listed = self.file.iter().flat_map(EndpointsFile::targets);
        let rest = listed.filter(|target| !taken.contains(&target.authority));
        self.fixed.iter().chain(rest).cloned().collect()
    }
}
