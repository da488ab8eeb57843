//! What one gateway has in flight, per pod.

use std::{collections::BTreeMap, time::Duration};

/// What is in flight on one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Requests.
    pub(crate) requests: usize,
    /// Prompt tokens of those without a first token that were not expected in its cache.
    pub(crate) uncached: usize,
    /// Prompt tokens of all.
    pub(crate) prompts: usize,
    /// Requests that were sent since the metrics were read.
    pub(crate) unseen: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    pod: usize,
    prompt: usize,
    /// None once it is answered.
    uncached: usize,
}

/// Requests in flight.
#[derive(Debug)]
pub(super) struct Book {
    loads: Vec<Load>,
    sent: BTreeMap<usize, Sent>,
    /// When what was sent, and where, that no metrics show yet.
    unseen: Vec<(Duration, usize)>,
}

impl Book {
    pub(super) fn new(pods: usize) -> Self {
        Self { loads: vec![Load::default(); pods], sent: BTreeMap::new(), unseen: Vec::new() }
    }

    pub(super) fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// A request goes to a pod: so many prompt tokens, of which so many are cached there.
    pub(super) fn open(
        &mut self,
        now: Duration,
        request: usize,
        pod: usize,
        tokens: (usize, usize),
    ) {
        let (prompt, cached) = tokens;
        let uncached = prompt.saturating_sub(cached);
        self.sent.insert(request, Sent { pod, prompt, uncached });
        self.unseen.push((now, pod));
        if let Some(load) = self.loads.get_mut(pod) {
            load.requests += 1;
            load.uncached += uncached;
            load.prompts += prompt;
            load.unseen += 1;
        }
    }

    /// Metrics were read at this moment.
    pub(super) fn seen(&mut self, at: Duration) {
        self.unseen.retain(|(sent, _)| *sent > at);
        self.loads.iter_mut().for_each(|load| load.unseen = 0);
        for (_, pod) in &self.unseen {
            if let Some(load) = self.loads.get_mut(*pod) {
                load.unseen += 1;
            }
        }
    }

    pub(super) fn answered(&mut self, request: usize) {
        let Some(sent) = self.sent.get_mut(&request) else { return };
        if let Some(load) = self.loads.get_mut(sent.pod) {
            load.uncached -= std::mem::take(&mut sent.uncached);
        }
    }

    pub(super) fn close(&mut self, request: usize) {
        let Some(sent) = self.sent.remove(&request) else { return };
        if let Some(load) = self.loads.get_mut(sent.pod) {
            load.requests -= 1;
            load.uncached -= sent.uncached;
            load.prompts -= sent.prompt;
        }
    }
}
