//! An endpoints file, read again and again.

use std::path::{Path, PathBuf};

use tokio::{fs::File, io::AsyncReadExt};
use tracing::{info, warn};

use crate::settings::{ENDPOINTS_FILE_BYTES_MAX, Target, parse_endpoints};

/// The file as last read.
#[derive(Debug)]
pub(super) struct EndpointsFile {
    path: PathBuf,
    /// Result of the last reading, good or not, so that each content is judged and logged once.
    last: Result<String, String>,
    /// The last good list.
    targets: Vec<Target>,
}

impl EndpointsFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If the file can't be read or understood.
    pub(super) async fn load(path: PathBuf) -> Result<Self, String> {
        let text = read(&path).await;
        let parsed = text.as_deref().map_err(Clone::clone).and_then(parse);
        let targets = parsed.map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Self { path, last: text, targets })
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Reads the file again, and returns true if its list changed. A broken file keeps the last
    /// good list.
    pub(super) async fn reload(&mut self) -> bool {
        let text = read(&self.path).await;
        if text == self.last {
            return false;
        }
        let parsed = text.as_deref().map_err(Clone::clone).and_then(parse);
        self.last = text;
        let path = self.path.display();
        match parsed {
            Ok(targets) => {
                info!("{path} changed: it lists {} endpoints", targets.len());
                self.targets = targets;
                true
            }
            Err(why) => {
                let kept = self.targets.len();
                warn!("failed to reload {path}, its last {kept} endpoints stay in use: {why}");
                false
            }
        }
    }
}

fn parse(text: &str) -> Result<Vec<Target>, String> {
    parse_endpoints(text).map_err(|why| why.to_string())
}

async fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).await.map_err(|why| why.to_string())?;
    let mut text = String::new();
    // One byte more than allowed shows that the file is too long.
    let limit = u64::try_from(ENDPOINTS_FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).await.map_err(|why| why.to_string())?;
    if text.len() > ENDPOINTS_FILE_BYTES_MAX {
        return Err(format!("too many bytes; allowed: {ENDPOINTS_FILE_BYTES_MAX}"));
    }
    Ok(text)
}
