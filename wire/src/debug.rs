//! The debug header: by it an operator asks for the reasons of one request's choice, while clients are told none.
//!
//! An operator makes one with the secret of the pushes: `decision;expires=UNIX_SECONDS;mac=HEX`. It says what is wished and
//! until when; the mac is an HMAC-SHA256 over both. A header that was made up, changed, or has expired says nothing.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::push::{Secret, digest, hex};

/// Name of the request header.
pub const HEADER: &str = "x-llm-picker-debug";

/// Media type of the answer to [`DebugWish::Explanation`].
pub const MEDIA_TYPE: &str = "application/vnd.llm-picker.explanation+json";

/// Seconds for which a header may hold at most: a working day. A header that leaks is worth nothing by tomorrow.
pub const LIFETIME_MAX_SECONDS: u64 = 12 * 3600;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Bytes of the longest header that is read: the longest word, twenty digits and a mac, with their names.
const HEADER_BYTES_MAX: usize = 128;

/// Wish of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugWish {
    /// The decision header on the answer.
    Decision,
    /// Every score of every endpoint as the answer, in the place of the pod's: the request is sent nowhere.
    Explanation,
}

/// Key of debug headers. It tells nothing of the secret that it follows from.
#[derive(Clone)]
pub struct DebugKey(Hmac<Sha256>);

impl DebugWish {
    /// Returns the word in the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Explanation => "explain",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Decision, Self::Explanation].into_iter().find(|wish| wish.name() == name)
    }
}

impl DebugKey {
    /// Makes the key of these bytes; `None` for another number of them than [`KEY_BYTES`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEY_BYTES).then(|| Hmac::new_from_slice(bytes).ok().map(Self))?
    }

    /// Makes the key that follows from a secret.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        Self::new(&secret.debug_key())
    }

    /// Returns a header that grants a wish until this time, in Unix seconds.
    #[must_use]
    pub fn sign(&self, wish: DebugWish, expires: u64) -> String {
        let signed = signed(wish, expires);
        let mac = self.0.clone().chain_update(signed.as_bytes()).finalize().into_bytes();
        format!("{signed};mac={}", hex(&mac))
    }

    /// Reads a header at this time, in Unix seconds. `None` for one that this key has not signed, that has expired, or that
    /// holds for longer than any may.
    #[must_use]
    pub fn open(&self, header: &[u8], now: u64) -> Option<DebugWish> {
        if header.len() > HEADER_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(header).ok()?.trim();
        let (head, mac) = text.rsplit_once(";mac=")?;
        let (name, expires) = head.split_once(";expires=")?;
        let (wish, expires) = (DebugWish::from_name(name)?, expires.parse().ok()?);
        let holds = now < expires && expires - now <= LIFETIME_MAX_SECONDS;
        // Written anew: no other spelling of a number is taken for it.
        if !holds || signed(wish, expires) != head {
            return None;
        }
        let mac = digest(mac.as_bytes())?;
        // In a time that says nothing of how much of it is right.
        self.0.clone().chain_update(head.as_bytes()).verify_slice(&mac).ok().map(|()| wish)
    }
}

fn signed(wish: DebugWish, expires: u64) -> String {
    format!("{};expires={expires}", wish.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(secret: &[u8]) -> DebugKey {
        DebugKey::from_secret(&Secret::new(secret).unwrap()).unwrap()
    }

    #[test]
    fn a_header_holds_for_its_key_until_it_expires() {
        for wish in [DebugWish::Decision, DebugWish::Explanation] {
            let header = key(b"one").sign(wish, NOW + 60);
            let open = |key: &DebugKey, now| key.open(header.as_bytes(), now);
            assert_eq!(open(&key(b"one"), NOW), Some(wish), "{header}");
            assert_eq!(open(&key(b"one"), NOW + 59), Some(wish));
            assert_eq!(open(&key(b"one"), NOW + 60), None, "expired");
            assert_eq!(open(&key(b"one"), NOW + 60 - LIFETIME_MAX_SECONDS), Some(wish));
            assert_eq!(open(&key(b"one"), NOW + 59 - LIFETIME_MAX_SECONDS), None, "for too long");
            assert_eq!(open(&key(b"two"), NOW), None, "another secret's");
        }
    }

    #[test]
    fn any_change_makes_it_worthless() {
        let header = key(b"one").sign(DebugWish::Decision, NOW + 60);
        for at in 0..header.len() {
            let mut changed = header.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(key(b"one").open(&changed, NOW), None, "byte {at}");
        }
        let later = header.replace(&(NOW + 60).to_string(), &(NOW + 90).to_string());
        let other = header.replace("decision", "explain");
        let padded = header.replace("expires=", "expires=0");
        let long = format!("{header}{}", " ".repeat(HEADER_BYTES_MAX));
        for forged in ["", "decision", ";expires=;mac=", &*later, &*other, &*padded, &*long] {
            assert_eq!(key(b"one").open(forged.as_bytes(), NOW), None, "{forged}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        arbtest::arbtest(|u| {
            let header: Vec<u8> = u.arbitrary()?;
            assert_eq!(key(b"one").open(&header, u.arbitrary()?), None);
            Ok(())
        });
    }
}
