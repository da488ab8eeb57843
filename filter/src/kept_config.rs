//! The last good configuration of a plugin, kept in shared data: a VM that starts later, with a newer one that
//! is refused, goes on with it. And the state of the newest one, for the log and for the metric.
//!
//! These keys are older than any layout of a pool's values and are read across versions of this module: a
//! configuration is the operator's text. Each pool's keys begin with its name, which is never empty.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use picker_core::Instant;
use wire::config_state::ConfigState;

use crate::host::{self, Metric};

/// Time at which a plugin last said that its newest configuration is refused.
const FAULTY_AT_KEY: &str = "llm-picker//v1/faulty-at";

/// Time for which one such word counts: three ticks of an idle plugin instance.
const FAULTY_FOR: Duration = Duration::from_secs(3);

/// Time within which all workers are handed the same configuration. Its faults are logged by the first.
const TOLD_FOR: Duration = Duration::from_secs(10);

/// The memory of one plugin's configurations, over all its VMs.
pub(crate) struct KeptConfig {
    /// Key of the last good configuration.
    good_key: String,
    /// Key of the newest one's state.
    state_key: String,
    /// The gauge that is 1 while no plugin's newest configuration is refused.
    is_ok: Metric,
}

/// Outcome of keeping a configuration.
pub(crate) struct Kept {
    /// The good one before, if that was another.
    pub(crate) before: Option<Vec<u8>>,
    /// True if no VM of this Envoy has kept it yet.
    pub(crate) is_news: bool,
}

impl KeptConfig {
    /// Opens the memory of a plugin of this name.
    pub(crate) fn of_plugin(name: &str) -> Self {
        Self {
            good_key: format!("llm-picker//v1/config/{name}"),
            state_key: format!("llm-picker//v1/config-state/{name}"),
            is_ok: Metric::gauge("llm_picker_config_ok"),
        }
    }

    /// Keeps a configuration that is applied.
    pub(crate) fn keep(&self, json: &[u8]) -> Kept {
        if self.state() != Some(ConfigState::Good) {
            host::share(&self.state_key, &ConfigState::Good.encode());
        }
        let before = self.last_good();
        if before.as_deref() == Some(json) {
            return Kept { before: None, is_news: false };
        }
        host::share(&self.good_key, json);
        Kept { before, is_news: true }
    }

    /// Returns the last good configuration, if there was one.
    pub(crate) fn last_good(&self) -> Option<Vec<u8>> {
        let stored = host::shared(&self.good_key);
        stored.cas.map(|_| stored.value)
    }

    /// Takes note of a configuration that is refused. True if its faults are to be logged: Envoy hands it
    /// to every worker, and one of them tells.
    pub(crate) fn refuse(&self, json: &[u8], now: Instant) -> bool {
        let digest = digest(json);
        if let Some(ConfigState::Faulty { digest: known, told_at }) = self.state()
            && known == digest
            && is_within(now, told_at, TOLD_FOR)
        {
            return false;
        }
        let state = ConfigState::Faulty { digest, told_at: now };
        host::share(&self.state_key, &state.encode());
        true
    }

    fn state(&self) -> Option<ConfigState> {
        ConfigState::decode(&host::shared(&self.state_key).value)
    }

    /// Shows whether the newest configurations of all plugins are in use. Several plugins have one gauge, so
    /// each that has a refused one says so again and again. An instance that is about to leave may have been
    /// handed an older configuration than the newest, hence the state counts and not `is_faulty` alone.
    pub(crate) fn show(&self, is_faulty: bool, now: Instant) {
        let is_faulty = is_faulty && matches!(self.state(), Some(ConfigState::Faulty { .. }));
        if is_faulty {
            host::share(FAULTY_AT_KEY, &now.as_nanos().to_le_bytes());
        }
        self.is_ok.record(u64::from(!is_faulty && !is_any_faulty(now)));
    }
}

fn is_any_faulty(now: Instant) -> bool {
    let stored = host::shared(FAULTY_AT_KEY).value;
    let said_at = stored.first_chunk().map(|nanos| Instant::from_nanos(u64::from_le_bytes(*nanos)));
    said_at.is_some_and(|said_at| is_within(now, said_at, FAULTY_FOR))
}

/// True if two moments are not farther apart than this, whichever is the later: clocks are set back.
fn is_within(one: Instant, other: Instant, apart: Duration) -> bool {
    one.saturating_since(other) <= apart && other.saturating_since(one) <= apart
}

/// Returns a number that tells configurations apart, in the same way in each VM.
pub(crate) fn digest(json: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    json.hash(&mut hasher);
    hasher.finish().max(1)
}
