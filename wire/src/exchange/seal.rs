//! The seal of a gateway's part: where it ends in a push, and the signature that is its own.
//!
//! The snapshot is one for all gateways and is signed once. A part is for one gateway alone: it stands
//! behind the snapshot, under a signature over the same stamp, the gateway's id and its bytes. So it is
//! as fresh as the snapshot that it came with, and worthless at another gateway.

use crate::push::{Refused, Secret, Secrets, Stamp, digest, number};

/// Header of a push with the number of bytes at the end of its body that are the gateway's part.
pub const PART_HEADER: &str = "x-llm-picker-part";

/// Header with the signature of the part, as [`crate::push::SIGNATURE_HEADER`].
pub const PART_SIGNATURE_HEADER: &str = "x-llm-picker-part-signature";

/// Bytes of a part at most. Some 450 placements of long prompts and the sums of 4,096 endpoints: beyond
/// that the next push brings the rest. With the largest snapshot it stays below the 4 MiB that a
/// gateway takes by default.
pub const PART_BYTES_MAX: usize = 512 << 10;

/// The end of a snapshot and the signature of the part behind it, as the headers of a push claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    bytes: usize,
    signature: [u8; 32],
}

impl Seal {
    /// Reads the headers of a part. `None` for a push without one.
    ///
    /// # Errors
    /// For a header that is missing or makes no sense, and for a part that is too large.
    pub fn parse(bytes: Option<&[u8]>, signature: Option<&[u8]>) -> Result<Option<Self>, Refused> {
        if bytes.is_none() && signature.is_none() {
            return Ok(None);
        }
        let found = bytes;
        let bytes = number(PART_HEADER, bytes)?;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= PART_BYTES_MAX);
        let malformed = |name, found: Option<&[u8]>, allowed| {
            let found =
                String::from_utf8_lossy(found.unwrap_or_default()).chars().take(80).collect();
            Refused::Header { name, found, allowed }
        };
        let bytes = bytes.ok_or_else(|| malformed(PART_HEADER, found, "at most 524288 bytes"))?;
        let text = signature.ok_or(Refused::MissingHeader { name: PART_SIGNATURE_HEADER })?;
        let allowed = "64 hexadecimal digits in lower case";
        let signature =
            digest(text).ok_or_else(|| malformed(PART_SIGNATURE_HEADER, signature, allowed))?;
        Ok(Some(Self { bytes, signature }))
    }

    /// Splits a body into the snapshot and the part. `None` for a body that is shorter than its part.
    #[must_use]
    pub fn split<'a>(&self, body: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        body.split_at_checked(body.len().checked_sub(self.bytes)?)
    }

    /// True if the part is signed for this gateway, beside a snapshot of this stamp, with the secret at this
    /// place: that of the snapshot.
    #[must_use]
    pub fn holds(&self, secrets: &Secrets, place: usize, signed: SignedPart<'_>) -> bool {
        let head = signed.head();
        let parts = [head.as_bytes(), signed.body];
        secrets.get(place).is_some_and(|secret| secret.is_mac_of(&parts, &self.signature))
    }
}

/// A part with all that its signature is over.
#[derive(Clone, Copy, Debug)]
pub struct SignedPart<'a> {
    /// Stamp of the snapshot in the same push.
    pub stamp: Stamp,
    /// Id of the gateway.
    pub gateway: u64,
    /// Bytes of the part.
    pub body: &'a [u8],
}

impl SignedPart<'_> {
    /// Returns the signature of the part, for [`PART_SIGNATURE_HEADER`].
    #[must_use]
    pub fn sign(&self, secret: &Secret) -> String {
        secret.sign_parts(&[self.head().as_bytes(), self.body])
    }

    /// Returns what is signed in front of the bytes. It begins with a word of its own, so that no signature
    /// of a push, which begins with a number, or of a reply is one of a part.
    fn head(&self) -> String {
        let Self { stamp, gateway, .. } = self;
        format!("part\n{}\n{}\n{gateway:016x}\n", stamp.time_ms, stamp.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(bytes: usize, signature: &str) -> Seal {
        let bytes = bytes.to_string();
        Seal::parse(Some(bytes.as_bytes()), Some(signature.as_bytes())).unwrap().unwrap()
    }

    #[test]
    fn a_part_holds_for_its_gateway_stamp_and_secret_alone() {
        let secret = |bytes: &[u8]| Secret::new(bytes).unwrap();
        let secrets = Secrets::new([secret(b"first secret"), secret(b"second secret")]);
        let stamp = Stamp { time_ms: 1, sequence: 2 };
        let part = SignedPart { stamp, gateway: 3, body: b"part" };
        let signature = part.sign(&secret(b"second secret"));
        let seal = seal(4, &signature);
        assert!(seal.holds(&secrets, 1, part));
        assert!(!seal.holds(&secrets, 0, part) && !seal.holds(&secrets, 2, part));
        assert!(!seal.holds(&secrets, 1, SignedPart { gateway: 4, ..part }));
        assert!(!seal.holds(&secrets, 1, SignedPart { body: b"parT", ..part }));
        let later = Stamp { sequence: 3, ..stamp };
        assert!(!seal.holds(&secrets, 1, SignedPart { stamp: later, ..part }));
        let second = secret(b"second secret");
        assert_ne!(signature, second.sign(stamp, b"part"));
        assert_ne!(signature, crate::reply::sign(&second, stamp, 3, b"part"));
    }

    #[test]
    fn a_body_ends_with_the_part() {
        let seal = seal(4, &"a".repeat(64));
        assert_eq!(seal.split(b"snapshotpart"), Some((&b"snapshot"[..], &b"part"[..])));
        assert_eq!(seal.split(b"part"), Some((&b""[..], &b"part"[..])));
        assert_eq!(seal.split(b"par"), None);
    }

    #[test]
    fn headers_that_make_no_sense_are_named() {
        let say = |bytes: Option<&str>, signature: Option<&str>| {
            let seal = Seal::parse(bytes.map(str::as_bytes), signature.map(str::as_bytes));
            seal.map_or_else(|refused| refused.to_string(), |seal| format!("{seal:?}"))
        };
        let signature = "a".repeat(64);
        let said = [
            say(None, None),
            say(Some("7"), None),
            say(None, Some(&signature)),
            say(Some("524289"), Some(&signature)),
            say(Some("-1"), Some(&signature)),
            say(Some("7"), Some("A")),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
        None
        the header x-llm-picker-part-signature is missing
        the header x-llm-picker-part is missing
        x-llm-picker-part: found "524289"; allowed: at most 524288 bytes
        x-llm-picker-part: found "-1"; allowed: a decimal number below 2^64
        x-llm-picker-part-signature: found "A"; allowed: 64 hexadecimal digits in lower case
        "#);
    }
}
