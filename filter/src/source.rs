//! The source from which snapshots are fetched.

use std::rc::Rc;

use wire::config::PullConfig;

use crate::receiver::Receiver;

/// The source of a pool's snapshots, as one plugin instance is configured.
pub(crate) struct Source {
    /// The operator's configuration.
    pub(crate) config: PullConfig,
    /// The receiver, which verifies and stores what is fetched.
    pub(crate) receiver: Receiver,
}

impl Source {
    /// Makes the source, if one is configured.
    ///
    /// # Errors
    /// Without usable secrets, each fault in words.
    pub(crate) fn configure(config: Option<&PullConfig>) -> Result<Option<Rc<Self>>, Vec<String>> {
        let Some(config) = config else { return Ok(None) };
        let receiver = Receiver::new("pull", &config.ingest)?;
        Ok(Some(Rc::new(Self { config: config.clone(), receiver })))
    }
}
