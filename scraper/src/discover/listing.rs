//! An endpoints file, read again and again.

use std::path::{Path, PathBuf};

use tokio::{fs::File, io::AsyncReadExt};
use tracing::{info, warn};

use crate::targets::{self, FILE_BYTES_MAX, Target};

/// The file as last read.
#[derive(Debug)]
pub(super) struct Listing {
    path: PathBuf,
    /// What the last reading gave, good or not, so that each content is judged and told of once.
    last: Result<String, String>,
    /// The last good list.
    targets: Vec<Target>,
}

impl Listing {
    /// # Errors
    /// If it can't be read or understood.
    pub(super) async fn load(path: PathBuf) -> Result<Self, String> {
        let text = read(&path).await;
        let parsed = text.as_deref().map_err(Clone::clone).and_then(parse);
        let targets = parsed.map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Self { path, last: text, targets })
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Reads the file again; whether its list changed. A broken file keeps the last good list.
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
                warn!("{path} is broken, its last {} endpoints stay: {why}", self.targets.len());
                false
            }
        }
    }
}

fn parse(text: &str) -> Result<Vec<Target>, String> {
    targets::parse(text).map_err(|why| why.to_string())
}

async fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).await.map_err(|why| why.to_string())?;
    let mut text = String::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).await.map_err(|why| why.to_string())?;
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}
