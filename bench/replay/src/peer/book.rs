//! Requests in flight of one gateway, per pod.

use std::{collections::BTreeMap, time::Duration};

/// Load of a pod by one gateway's requests in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Number of requests.
    pub(crate) requests: usize,
    /// Prompt tokens of requests without a first token that were not expected in the pod's cache.
    pub(crate) uncached: usize,
    /// Prompt tokens of all requests.
    pub(crate) prompts: usize,
    /// Number of requests that were sent since the metrics were read.
    pub(crate) unseen: usize,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    pod: usize,
    prompt: usize,
    /// Prompt tokens to compute; 0 once the request is answered.
    uncached: usize,
}

/// Tokens of a prompt.
#[derive(Clone, Copy, Debug)]
pub(super) struct PromptTokens {
    pub(super) all: usize,
    /// Tokens that the pod is expected to have cached.
    pub(super) cached: usize,
}

/// A gateway's requests in flight.
#[derive(Debug)]
pub(super) struct Book {
    loads: Vec<Load>,
    sent: BTreeMap<usize, InFlight>,
    /// Time and pod of the requests that no metrics show yet.
    unseen: Vec<(Duration, usize)>,
}

impl Book {
    pub(super) fn new(pods: usize) -> Self {
        Self { loads: vec![Load::default(); pods], sent: BTreeMap::new(), unseen: Vec::new() }
    }

    pub(super) fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// Notes that a request goes to a pod.
    pub(super) fn open(&mut self, now: Duration, request: usize, pod: usize, tokens: PromptTokens) {
        let PromptTokens { all: prompt, cached } = tokens;
        let uncached = prompt.saturating_sub(cached);
        self.sent.insert(request, InFlight { pod, prompt, uncached });
        self.unseen.push((now, pod));
        if let Some(load) = self.loads.get_mut(pod) {
            load.requests += 1;
            load.uncached += uncached;
            load.prompts += prompt;
            load.unseen += 1;
        }
    }

    /// Notes that metrics were read at this moment.
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
