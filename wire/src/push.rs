//! A push of a snapshot: its signature, and its age.
//!
//! The scraper signs time, sequence and body with a shared secret. The gateway takes a push with
//! the right signature, at most [`CLOCK_SKEW_MAX_MS`] late and newer than the last one.

mod stamp;

mod refused;

mod headers;

mod history;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use headers::Headers;
pub(crate) use headers::{digest, number};
pub use history::{Clocks, KnownStart, PushHistory, check_wall};
pub use refused::Refused;
pub use stamp::Stamp;

/// Header with the time of the push: Unix milliseconds, decimal.
pub const TIME_HEADER: &str = "x-llm-picker-time";
/// Header with a number that grows with every push of one scraper process, decimal.
pub const SEQUENCE_HEADER: &str = "x-llm-picker-sequence";
/// Header with the signature: HMAC-SHA256 as 64 hexadecimal digits in lower case.
pub const SIGNATURE_HEADER: &str = "x-llm-picker-signature";

/// Header of the answer with the number of requests that the gateway holds for the pool.
pub const WAITING_HEADER: &str = "x-llm-picker-waiting";

/// Milliseconds by which the clocks of scraper and gateway may differ at the first push of a scraper
/// process, and by which a later push may be late. Hosts that keep time by NTP
/// are within a second; the rest is for a push that waits behind others. A recorded push is useless
/// afterwards.
pub const CLOCK_SKEW_MAX_MS: u64 = 30_000;

/// Secrets that are taken at a time: a new one, and the one whose place it takes.
pub const SECRETS_MAX: usize = 2;

/// Bytes of the shortest secret that is taken: 128 bits, below which a signature could be guessed.
pub const SECRET_BYTES_MIN: usize = 16;

/// Secrets of which a push may be signed with any.
#[derive(Clone)]
pub struct Secrets(Vec<Secret>);

/// Secret that scraper and gateway share.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl Secret {
    /// Returns the secret with these bytes. `None` for no bytes, with which anyone could sign.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        Hmac::new_from_slice(bytes).ok().map(Self)
    }

    /// Returns the key of the session tokens of all gateways that have this secret. It tells nothing of the
    /// secret, and no push is signed by it: what is signed of a push begins with a digit.
    #[must_use]
    pub fn session_key(&self) -> [u8; 32] {
        self.0.clone().chain_update(b"session tokens, version 1").finalize().into_bytes().into()
    }

    /// Returns the key of prompts' hashes at all gateways that have this secret. It tells nothing of the secret.
    #[must_use]
    pub fn prompt_key(&self) -> u64 {
        let digest = self.0.clone().chain_update(b"prompt hashes, version 1").finalize();
        digest.into_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Returns the key of the debug headers of all gateways that have this secret. It tells nothing of the secret.
    #[must_use]
    pub fn debug_key(&self) -> [u8; 32] {
        self.0.clone().chain_update(b"debug headers, version 1").finalize().into_bytes().into()
    }

    /// Returns the signature of a push, for [`SIGNATURE_HEADER`].
    #[must_use]
    pub fn sign(&self, stamp: Stamp, body: &[u8]) -> String {
        self.sign_parts(&[head(stamp).as_bytes(), body])
    }

    /// Checks the signature of a push, in a time that says nothing of how much of it is right.
    ///
    /// # Errors
    /// [`Refused::Signature`] for that of another push or secret.
    pub fn verify(&self, headers: &Headers, body: &[u8]) -> Result<(), Refused> {
        self.over(&[head(headers.stamp).as_bytes(), body])
            .verify_slice(&headers.signature)
            .map_err(|_| Refused::Signature)
    }

    /// Returns the signature of these parts, one behind the other, as 64 hexadecimal digits.
    pub(crate) fn sign_parts(&self, parts: &[&[u8]]) -> String {
        hex(&self.over(parts).finalize().into_bytes())
    }

    /// Checks a signature of these parts, in a time that says nothing of how much of it is right.
    pub(crate) fn verifies_parts(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        digest(signature).is_some_and(|digest| self.is_mac_of(parts, &digest))
    }

    /// Checks a signature that was read, in the same time for any.
    pub(crate) fn is_mac_of(&self, parts: &[&[u8]], digest: &[u8; 32]) -> bool {
        self.over(parts).verify_slice(digest).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        parts.iter().fold(self.0.clone(), Mac::chain_update)
    }
}

/// Returns what is signed in front of a push's body.
fn head(stamp: Stamp) -> String {
    format!("{}\n{}\n", stamp.time_ms, stamp.sequence)
}

impl Secrets {
    /// Takes the first two of these secrets.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(secrets.into_iter().take(SECRETS_MAX).collect())
    }

    /// Checks that a push is signed with one of the secrets. Returns the place of that one, by which the
    /// answer is signed.
    ///
    /// # Errors
    /// [`Refused::Signature`] for one that is signed with none of them.
    pub fn verify(&self, headers: &Headers, body: &[u8]) -> Result<usize, Refused> {
        let place = self.0.iter().position(|secret| secret.verify(headers, body).is_ok());
        place.ok_or(Refused::Signature)
    }

    /// Returns the secret at this place; `None` where there is none.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Secret> {
        self.0.get(place)
    }
}

/// Returns these bytes as hexadecimal digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use hmac::Mac;
    use picker_core::Instant;

    use super::{
        CLOCK_SKEW_MAX_MS, Clocks, Headers, PushHistory, Refused, Secret, Secrets, Stamp, hex,
    };

    /// RFC 4231, test cases 1, 2, 3, 4, 6 and 7.
    #[test]
    fn the_mac_is_hmac_sha256() {
        let case_4: Vec<u8> = (0x01..=0x19).collect();
        let cases: [(&[u8], &[u8], &str); 6] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (&case_4, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
            (&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
            (&[0xaa; 131], b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.", "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        ];
        for (key, data, digest) in cases {
            let mac = Secret::new(key).unwrap().0.chain_update(data);
            assert_eq!(hex(&mac.finalize().into_bytes()), digest);
        }
    }

    #[test]
    fn what_is_signed_is_time_line_sequence_line_body() {
        let secret = Secret::new(b"Jefe").unwrap();
        let stamp = Stamp { time_ms: 12, sequence: 3 };
        let whole = secret.0.clone().chain_update(b"12\n3\nbody").finalize().into_bytes();
        assert_eq!(secret.sign(stamp, b"body"), hex(&whole));
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let secret = Secret::new(b"secret").unwrap();
        let stamp = Stamp { time_ms: 1_000, sequence: 7 };
        let signature = secret.sign(stamp, b"body");
        let verify = |time: &str, sequence: &str, signature: &str, body: &[u8]| {
            let read = Headers::parse(
                Some(time.as_bytes()),
                Some(sequence.as_bytes()),
                Some(signature.as_bytes()),
            );
            Secret::new(b"secret").unwrap().verify(&read.unwrap(), body)
        };
        assert_eq!(verify("1000", "7", &signature, b"body"), Ok(()));
        assert_eq!(verify("1001", "7", &signature, b"body"), Err(Refused::Signature));
        assert_eq!(verify("1000", "8", &signature, b"body"), Err(Refused::Signature));
        assert_eq!(verify("1000", "7", &signature, b"bodY"), Err(Refused::Signature));
        let flipped =
            format!("{}{}", if signature.starts_with('0') { '1' } else { '0' }, &signature[1..]);
        assert_eq!(verify("1000", "7", &flipped, b"body"), Err(Refused::Signature));
        assert!(Secret::new(b"").is_none());
    }

    #[test]
    fn any_of_two_secrets_will_do_and_of_three_not_the_last() {
        let secret = |bytes: &[u8]| Secret::new(bytes).unwrap();
        let (old, new, third) = (secret(b"old"), secret(b"new"), secret(b"third"));
        let stamp = Stamp { time_ms: 1, sequence: 1 };
        let signed = |by: &Secret| {
            let signature = by.sign(stamp, b"body");
            Headers::parse(Some(b"1"), Some(b"1"), Some(signature.as_bytes())).unwrap()
        };
        let both = Secrets::new([new.clone(), old.clone(), third.clone()]);
        assert_eq!(both.verify(&signed(&old), b"body"), Ok(1));
        assert_eq!(both.verify(&signed(&new), b"body"), Ok(0));
        assert_eq!(both.verify(&signed(&third), b"body"), Err(Refused::Signature));
        assert_eq!(both.verify(&signed(&old), b"Body"), Err(Refused::Signature));
        assert_eq!(Secrets::new([]).verify(&signed(&old), b"body"), Err(Refused::Signature));
    }

    #[test]
    fn only_the_newer_in_time_is_taken() {
        let at = |time_ms, sequence| Stamp { time_ms, sequence };
        let now = 1_000_000;
        let check = |stamp, last| {
            let clocks = Clocks { wall_ms: now, steady: Instant::default() };
            PushHistory { last, starts: Vec::new() }.take(clocks, stamp)
        };
        let ok = |stamp, last| check(stamp, last).is_ok();
        assert!(ok(at(now, 1), None));
        assert!(
            ok(at(now - CLOCK_SKEW_MAX_MS, 1), None) && ok(at(now + CLOCK_SKEW_MAX_MS, 1), None)
        );
        assert!(!ok(at(now - CLOCK_SKEW_MAX_MS - 1, 1), None));
        assert!(!ok(at(now + CLOCK_SKEW_MAX_MS + 1, 1), None));
        assert!(ok(at(now, 2), Some(at(now, 1))) && ok(at(now + 1, 0), Some(at(now, 9))));
        assert!(!ok(at(now, 1), Some(at(now, 1))) && !ok(at(now, 9), Some(at(now + 1, 0))));
        assert_eq!(check(at(0, 0), None).unwrap_err().status(), 401);
        assert_eq!(check(at(now, 1), Some(at(now, 1))).unwrap_err().status(), 409);
    }

    #[test]
    fn headers_that_make_no_sense_are_named() {
        let say = |time: Option<&[u8]>, sequence: Option<&[u8]>, signature: Option<&[u8]>| {
            let refused = Headers::parse(time, sequence, signature).unwrap_err();
            format!("{} {refused}", refused.status())
        };
        let signature = [b'a'; 64];
        insta::assert_snapshot!([
            say(None, Some(b"1"), Some(&signature)),
            say(Some(b"-1"), Some(b"1"), Some(&signature)),
            say(Some(b"1"), Some(b"18446744073709551616"), Some(&signature)),
            say(Some(b"1"), Some(b"1"), Some(b"AA")),
            say(Some(b"+1"), Some(b"1"), Some(&signature)),
            say(Some(b"1"), Some(b"\xff"), Some(&signature)),
        ].join("\n"), @r#"
    401 the header x-llm-picker-time is missing
    400 x-llm-picker-time: found "-1"; allowed: a decimal number below 2^64
    400 x-llm-picker-sequence: found "18446744073709551616"; allowed: a decimal number below 2^64
    400 x-llm-picker-signature: found "AA"; allowed: 64 hexadecimal digits in lower case
    400 x-llm-picker-time: found "+1"; allowed: a decimal number below 2^64
    400 x-llm-picker-sequence: found "�"; allowed: a decimal number below 2^64
    "#);
    }
}
