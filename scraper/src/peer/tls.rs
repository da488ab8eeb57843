//! TLS as it is spoken now: certificates may be replaced while the scraper runs.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_rustls::rustls::ClientConfig;
use tracing::warn;

use crate::settings::TlsSettings;

/// Time after which files are read again. A system's bundle of authorities takes milliseconds to
/// read, which peers that close each connection would cost again and again; and replaced
/// certificates overlap with the old ones for longer than this.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The newest TLS configuration that could be read.
#[derive(Debug)]
pub(crate) struct TlsClient {
    settings: Arc<TlsSettings>,
    loaded: Mutex<Option<LoadedConfig>>,
}

#[derive(Debug)]
struct LoadedConfig {
    /// Time of the last attempt to read the files.
    at: Instant,
    config: Arc<ClientConfig>,
}

impl TlsClient {
    pub(crate) const fn new(settings: Arc<TlsSettings>) -> Self {
        Self { settings, loaded: Mutex::new(None) }
    }

    /// Returns the name that peers' certificates are for, if not the host of the request.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.settings.server_name.as_deref()
    }

    /// Returns the configuration for a connection that begins at `now`. Files that can't be read
    /// any more, as while they are replaced, leave the old configuration in use.
    ///
    /// # Errors
    /// If the files never could be read.
    pub(crate) fn at(&self, now: Instant) -> Result<Arc<ClientConfig>, String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match &*loaded {
            Some(last) if now.saturating_duration_since(last.at) < READ_AGAIN_AFTER => {
                return Ok(Arc::clone(&last.config));
            }
            last => last.as_ref().map(|last| Arc::clone(&last.config)),
        };
        let config = match (self.settings.load(), last) {
            (Ok(config), _) => Arc::new(config),
            (Err(why), Some(last)) => {
                warn!("failed to reload certificates, the old ones stay in use: {why}");
                last
            }
            (Err(why), None) => return Err(why),
        };
        // A failed attempt counts too: the files are tried again after the same time.
        *loaded = Some(LoadedConfig { at: now, config: Arc::clone(&config) });
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_again_after_a_while_and_may_be_away_then() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let ca = Some(file.path().to_owned());
        let tls = TlsClient::new(TlsSettings { ca, client: None, server_name: None }.into());
        let start = Instant::now();
        let minutes = |count| READ_AGAIN_AFTER * count;
        let said = tls.at(start).unwrap_err();
        assert!(said.ends_with("must hold at least one usable certificate"), "{said}");

        let paper = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        fs::write(file.path(), paper.cert.pem()).unwrap();
        let first = tls.at(start).unwrap();
        assert!(Arc::ptr_eq(&first, &tls.at(start + minutes(1) / 2).unwrap()));
        let second = tls.at(start + minutes(1)).unwrap();
        assert!(!Arc::ptr_eq(&first, &second), "it was read again");
        fs::write(file.path(), "").unwrap();
        assert!(Arc::ptr_eq(&second, &tls.at(start + minutes(3)).unwrap()));
    }
}
