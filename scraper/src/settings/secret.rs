//! The secret that signs snapshots.

use std::fmt;

use wire::push;

/// Bytes of the shortest secret that is taken: 128 bits, below which a signature could be guessed.
pub const SECRET_BYTES_MIN: usize = 16;

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

    pub(crate) const fn key(&self) -> &push::Secret {
        &self.0
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
    fn a_short_secret_is_refused_and_a_long_one_not_shown() {
        assert!(Secret::new(&[b'x'; SECRET_BYTES_MIN - 1]).is_err());
        let secret = Secret::new(&[b'x'; SECRET_BYTES_MIN]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
