//! The secret that signs, read again from its file: it can change while the scraper runs.

use std::{path::PathBuf, time::Duration};

use tokio::{fs::File, io::AsyncReadExt as _, sync::watch, time};
use tracing::{info, warn};

use crate::settings::{SECRET_FILE_BYTES_MAX, Secret};

/// Time after which the file is read again. Its contents are compared and not its times, which a mounted
/// Secret's symbolic links don't show.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file of secrets at work.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    /// The last reading, good or not, so that each content is judged and logged once.
    last: Option<Result<Vec<u8>, String>>,
}

impl SecretFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// Hands on the first secret of the file whenever it changes, until nothing signs any more.
    pub(crate) async fn run(mut self, secret: watch::Sender<Secret>) {
        let mut ticks = time::interval(INTERVAL);
        while !secret.is_closed() {
            ticks.tick().await;
            if let Some(new) = self.reload().await {
                secret.send_replace(new);
            }
        }
    }

    /// Reads the file again. Returns the secret if it changed; a broken file leaves the last one in use.
    async fn reload(&mut self) -> Option<Secret> {
        let text = self.read().await;
        if self.last.as_ref() == Some(&text) {
            return None;
        }
        let is_first = self.last.is_none();
        let read = text.as_deref().map_err(Clone::clone).and_then(Secret::first_of);
        self.last = Some(text);
        let path = self.path.display();
        match read {
            Ok(secret) => {
                if !is_first {
                    info!("{path} changed: snapshots are signed with the first secret in it");
                }
                Some(secret)
            }
            Err(why) => {
                warn!("failed to reload {path}, its last secret stays in use: {why}");
                None
            }
        }
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        let file = File::open(&self.path).await.map_err(|why| why.to_string())?;
        let mut text = Vec::new();
        // A byte more than allowed shows that the file is too long.
        let mut file = file.take(SECRET_FILE_BYTES_MAX.saturating_add(1));
        file.read_to_end(&mut text).await.map_err(|why| why.to_string())?;
        if u64::try_from(text.len()).is_ok_and(|bytes| bytes > SECRET_FILE_BYTES_MAX) {
            return Err(format!("too many bytes; allowed: {SECRET_FILE_BYTES_MAX}"));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use wire::push::Stamp;

    use super::*;

    #[tokio::test]
    async fn a_new_secret_is_taken_and_a_broken_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let sign = |secret: Option<Secret>| {
            secret.map(|secret| secret.key().sign(Stamp { time_ms: 1, sequence: 1 }, b""))
        };
        let by = |text: &str| sign(Some(Secret::new(text.as_bytes()).unwrap()));
        write("the secret of old");
        let mut file = SecretFile::new(path.clone());
        assert_eq!(sign(file.reload().await), by("the secret of old"));
        assert_eq!(sign(file.reload().await), None, "nothing new");
        write("the secret of old\nthe secret to come");
        assert_eq!(sign(file.reload().await), by("the secret of old"));
        for broken in ["short", ""] {
            write(broken);
            assert_eq!(sign(file.reload().await), None, "{broken:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(sign(file.reload().await), None, "no file");
        write("the secret to come\nthe secret of old\n");
        assert_eq!(sign(file.reload().await), by("the secret to come"));
    }
}
