//! The configuration of a plugin that Envoy goes by, found by the instances themselves.
//!
//! Envoy takes up an instance again, without a word, whose configuration comes back while its listener drains.
//! Only its streams tell: a connection that was accepted after those of all other instances belongs to the
//! listener that is in use. So while there are several, each looks at the number of its streams' connections.

use std::{mem, time::Duration};

use picker_core::Instant;
use wire::config_in_use::ConfigInUse;

use crate::{host, vm};

/// Time after which a listener with a new configuration is in use. Until then connections still go to the one
/// before, and say nothing. A listener that waits longer, for what it discovers, is found by its own streams.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Time for which an instance with another configuration counts as there: three ticks of an idle one.
const CONTESTED_FOR: Duration = Duration::from_secs(3);

/// Time between two words of such an instance: no more often than it ticks when idle.
const CONTESTS_EVERY: Duration = Duration::from_secs(1);

/// Numbers of connections are below this one: at a million connections a second Envoy gets there in nine years. HTTP/3
/// numbers its connections by chance instead, mostly above.
const CONNECTION_MAX: u64 = 1 << 48;

/// An instance's part in finding the configuration that Envoy goes by.
pub(crate) struct InUse {
    /// Id of the instance's root context.
    context_id: u32,
    /// Key of the plugin's [`ConfigInUse`].
    key: String,
    /// Digest of this instance's configuration.
    digest: u64,
    /// Place of the instance at the last look.
    standing: Standing,
}

/// Place of an instance among those of its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Configuration in use, and no instance has another.
    Alone,
    /// Configuration in use, and there are instances with others.
    Contested,
    /// Another configuration is in use.
    Displaced,
}

impl InUse {
    /// Takes note that Envoy hands this instance of the plugin a configuration with this digest.
    pub(crate) fn configured(context_id: u32, plugin: &str, digest: u64, now: Instant) -> Self {
        let key = format!("llm-picker//v1/config-in-use/{plugin}");
        let known = ConfigInUse::decode(&host::shared(&key).value);
        // Every worker is handed the same one; the first says when.
        if known.is_none_or(|known| known.digest != digest) {
            let known = known.unwrap_or_default();
            host::share(&key, &ConfigInUse { digest, configured_at: now, ..known }.encode());
        }
        Self { context_id, key, digest, standing: Standing::Alone }
    }

    /// Looks at the connection of a new stream, from that stream's first callback.
    pub(crate) fn see_stream(&self) {
        if self.standing != Standing::Alone
            && let Some(number) = host::connection_number()
            && number < CONNECTION_MAX
        {
            vm::see_connection(self.context_id, number);
        }
    }

    /// Tells and reads which configuration is in use. True if that is this instance's again, which was not.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        let stored = host::shared(&self.key);
        let Some(known) = ConfigInUse::decode(&stored.value) else { return false };
        let found = self.find(known, now);
        let is_told =
            found == known || host::share_if_unchanged(&self.key, &found.encode(), stored.cas);
        // If another instance was faster, its word is read at the next tick.
        let now_known = if is_told { found } else { known };
        let standing = if now_known.digest != self.digest {
            Standing::Displaced
        } else if now.saturating_since(now_known.contested_at) < CONTESTED_FOR {
            Standing::Contested
        } else {
            Standing::Alone
        };
        let before = mem::replace(&mut self.standing, standing);
        before == Standing::Displaced && standing != Standing::Displaced
    }

    /// Returns what is known with what this instance has seen.
    fn find(&self, known: ConfigInUse, now: Instant) -> ConfigInUse {
        let is_own = known.digest == self.digest;
        let connection = vm::newest_connection(self.context_id);
        let is_newest = connection > known.connection;
        let is_settled = now.saturating_since(known.configured_at) >= SETTLED_AFTER;
        let is_quiet = now.saturating_since(known.contested_at) >= CONTESTS_EVERY;
        ConfigInUse {
            digest: if is_newest && is_settled { self.digest } else { known.digest },
            connection: known.connection.max(connection),
            contested_at: if !is_own && is_quiet { now } else { known.contested_at },
            ..known
        }
    }
}
