//! The secrets that sign snapshots.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use wire::push;

pub use wire::push::SECRET_BYTES_MIN;

/// Bytes of a file of secrets: two of some kilobytes, which is more than any signature is worth.
pub(crate) const SECRET_FILE_BYTES_MAX: u64 = 16 << 10;

/// The place of the secret that signs.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// Known from the start on, and the same until the end.
    Fixed(Secret),
    /// In a file, which is read again and again.
    File {
        /// Path of the file.
        path: PathBuf,
        /// The secret that the file had at the start.
        first: Secret,
    },
}

/// The secret that scraper and Envoys share. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Secret(push::Secret);

impl Secret {
    /// Takes the bytes of a secret.
    ///
    /// # Errors
    /// If there are fewer than [`SECRET_BYTES_MIN`] bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        match push::Secret::new(bytes) {
            Some(key) if bytes.len() >= SECRET_BYTES_MIN => Ok(Self(key)),
            Some(_) | None => {
                Err(format!("found {} bytes; allowed: {SECRET_BYTES_MIN} or more", bytes.len()))
            }
        }
    }

    /// Reads the text of a file: one secret, or two on a line each, of which the first signs. Gateways may
    /// read the same file, and take both.
    ///
    /// # Errors
    /// For any other number of lines, and for a secret that is too short.
    pub(crate) fn first_of(text: &[u8]) -> Result<Self, String> {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        let max = push::SECRETS_MAX;
        if !(1..=max).contains(&lines.len()) {
            return Err(format!("found {} secrets; allowed: 1 to {max}, one a line", lines.len()));
        }
        let secrets = lines.into_iter().map(Self::new).collect::<Result<Vec<_>, _>>()?;
        secrets.into_iter().next().ok_or_else(|| "found no secret".to_owned())
    }

    pub(crate) const fn key(&self) -> &push::Secret {
        &self.0
    }
}

impl SecretSource {
    /// Takes a file, which must have a good secret to begin with.
    ///
    /// # Errors
    /// If the file can't be read, or for what [`Secret`] refuses.
    pub fn file(path: &Path) -> Result<Self, String> {
        let fail = |why: String| format!("invalid file of secrets {}: {why}", path.display());
        let file = File::open(path).map_err(|why| fail(why.to_string()))?;
        let mut text = Vec::new();
        // A byte more than allowed shows that the file is too long.
        let mut file = file.take(SECRET_FILE_BYTES_MAX.saturating_add(1));
        file.read_to_end(&mut text).map_err(|why| fail(why.to_string()))?;
        if u64::try_from(text.len()).is_ok_and(|bytes| bytes > SECRET_FILE_BYTES_MAX) {
            return Err(fail(format!("too many bytes; allowed: {SECRET_FILE_BYTES_MAX}")));
        }
        let first = Secret::first_of(&text).map_err(fail)?;
        Ok(Self::File { path: path.to_owned(), first })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_lines_the_first_signs_and_both_are_checked() {
        let stamp = push::Stamp { time_ms: 1, sequence: 1 };
        let sign = |secret: &Secret| secret.key().sign(stamp, b"body");
        let first = Secret::new(b"the first of them").unwrap();
        for text in [
            "the first of them",
            "the first of them\n",
            "\n the first of them\r\nthe second of them\n",
        ] {
            assert_eq!(sign(&Secret::first_of(text.as_bytes()).unwrap()), sign(&first), "{text:?}");
        }
        let say = |text: &str| Secret::first_of(text.as_bytes()).unwrap_err();
        assert_eq!(say(" \n"), "found 0 secrets; allowed: 1 to 2, one a line");
        assert_eq!(say("the first of them\nshort"), "found 5 bytes; allowed: 16 or more");
        assert_eq!(say("a\nb\nc"), "found 3 secrets; allowed: 1 to 2, one a line");
    }

    #[test]
    fn a_file_that_would_not_be_read_again_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let max = usize::try_from(SECRET_FILE_BYTES_MAX).unwrap();
        std::fs::write(&path, vec![b'x'; max]).unwrap();
        assert!(SecretSource::file(&path).is_ok());
        std::fs::write(&path, vec![b'x'; max + 1]).unwrap();
        assert!(SecretSource::file(&path).is_err());
    }

    #[test]
    fn a_short_secret_is_refused_and_a_long_one_not_shown() {
        assert!(Secret::new(&[b'x'; SECRET_BYTES_MIN - 1]).is_err());
        let secret = Secret::new(&[b'x'; SECRET_BYTES_MIN]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
