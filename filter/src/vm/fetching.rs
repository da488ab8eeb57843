//! The part of a VM in fetching snapshots.

use std::{rc::Rc, time::Duration};

use picker_core::{Instant, ledger::WorkerId, pull::Puller};
use wire::reply::Have;

use crate::source::Source;

/// The part of a VM in fetching one pool's snapshots.
pub(crate) struct Fetching {
    pub(crate) puller: Puller,
    /// The source by the newest configuration. An older plugin instance, which is about to leave, asks as
    /// the newest does, so that both together ask once.
    pub(crate) source: Option<Rc<Source>>,
    /// Token of the call that is awaited; answers to other calls are late.
    pub(crate) token: Option<u32>,
    /// Time of the next report on the pool.
    pub(crate) report_at: Instant,
    /// True if the scraper asks for what the other gateways are told, by its last answer.
    pub(crate) exchanges: bool,
    /// The report that the scraper has, by its last answer.
    pub(crate) have: Option<Have>,
    /// Place of the secret that the last snapshot was signed with, for the reports.
    pub(crate) secret: usize,
    /// The reason why the last call failed, if it did: the log tells of each trouble once.
    pub(crate) trouble: Option<String>,
}

impl Fetching {
    pub(crate) fn new(me: WorkerId) -> Self {
        let puller = Puller::new(me, Duration::ZERO);
        Self {
            puller,
            source: None,
            token: None,
            report_at: Instant::default(),
            exchanges: false,
            have: None,
            secret: 0,
            trouble: None,
        }
    }

    /// Fetches from this source from now on; `None` ends it.
    pub(crate) fn configure(&mut self, source: Option<Rc<Source>>) {
        if let Some(source) = &source {
            self.puller.set_timeout(source.config.timeout);
        }
        self.source = source;
    }
}
