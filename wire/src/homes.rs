//! Homes: the endpoints that keep what answers named, as responses, conversations, files and batches are in the memory or
//! on the disk of the one pod that made them.
//!
//! A pool's homes are a table in shared data, in buckets that are read and written each by itself. An entry is the
//! digest of a name and an address. The oldest entry of a full bucket makes room.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use picker_core::PromptKey;
use sha2::{Digest as _, Sha256};

/// Buckets of a pool. A bucket is copied when one of its entries is looked up: 3 kB.
pub const BUCKETS: u64 = 256;

/// Entries of a bucket. All buckets have 32,768: what a pool answers in an hour at nine a second, in 850 kB.
pub const ENTRIES_MAX: usize = 128;

/// Bytes of the longest name: ids of responses have 37.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes of an entry: a digest, an IPv6 address or an IPv4 one mapped into it, and a port.
const ENTRY: usize = 8 + 16 + 2;

/// Digest of a name, which finds its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameDigest(u64);

impl NameDigest {
    /// Digests a name under the key of all workers: some names are a client's own, and none may choose its bucket.
    /// `None` for a name that is empty or too long.
    #[must_use]
    pub fn new(name: &[u8], key: PromptKey) -> Option<Self> {
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return None;
        }
        let digest = Sha256::new().chain_update(key.bits().to_le_bytes()).chain_update(name);
        digest.finalize().first_chunk().map(|bytes| Self(u64::from_le_bytes(*bytes)))
    }

    /// Returns the number of its bucket.
    #[must_use]
    pub const fn bucket(self) -> u64 {
        self.0 % BUCKETS
    }
}

/// Returns the endpoint that keeps what has this name, by the bytes of its bucket.
#[must_use]
pub fn find(bucket: &[u8], name: NameDigest) -> Option<SocketAddr> {
    let (entries, _) = bucket.as_chunks::<ENTRY>();
    entries.iter().rev().find_map(|entry| {
        let (digest, address) = entry.split_first_chunk::<8>()?;
        (u64::from_le_bytes(*digest) == name.0).then(|| read_address(address))?
    })
}

/// Returns the bytes of a bucket with one entry more.
#[must_use]
pub fn with(bucket: &[u8], name: NameDigest, endpoint: SocketAddr) -> Vec<u8> {
    let (entries, _) = bucket.as_chunks::<ENTRY>();
    let digest = name.0.to_le_bytes();
    let mut bytes: Vec<u8> = Vec::with_capacity(bucket.len() + ENTRY);
    let others = entries.iter().filter(|entry| !entry.starts_with(&digest));
    let beyond = others.clone().count().saturating_sub(ENTRIES_MAX - 1);
    others.skip(beyond).for_each(|entry| bytes.extend(entry));
    bytes.extend(digest);
    let ip = match endpoint.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    bytes.extend(ip.octets());
    bytes.extend(endpoint.port().to_le_bytes());
    bytes
}

fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let ip = IpAddr::from(Ipv6Addr::from(*ip)).to_canonical();
    Some(SocketAddr::new(ip, u16::from_le_bytes(port.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> NameDigest {
        NameDigest::new(name.as_bytes(), PromptKey::from_bits(7)).unwrap()
    }

    fn pod(number: u16) -> SocketAddr {
        ([10, 0, 0, 1], number).into()
    }

    #[test]
    fn a_name_is_found_until_as_many_others_came() {
        let mut bucket = with(&[], digest("a"), pod(1));
        assert_eq!(find(&bucket, digest("a")), Some(pod(1)));
        let six: SocketAddr = "[fd00::1]:8000".parse().unwrap();
        bucket = with(&bucket, digest("b"), six);
        assert_eq!(find(&bucket, digest("b")), Some(six));
        bucket = with(&bucket, digest("a"), pod(2));
        assert_eq!(find(&bucket, digest("a")), Some(pod(2)), "the newest counts");
        assert_eq!(bucket.len(), 2 * ENTRY);
        for n in 0..ENTRIES_MAX {
            assert!(find(&bucket, digest("a")).is_some(), "{n}");
            bucket = with(&bucket, digest(&n.to_string()), pod(3));
        }
        assert_eq!(find(&bucket, digest("a")), None);
        assert_eq!(bucket.len(), ENTRIES_MAX * ENTRY);
    }

    #[test]
    fn names_and_buckets_of_any_bytes_are_harmless() {
        let key = PromptKey::default();
        assert_eq!(NameDigest::new(b"", key), None);
        assert_eq!(NameDigest::new(&[b'x'; NAME_BYTES_MAX + 1], key), None);
        assert_ne!(NameDigest::new(b"a", key), NameDigest::new(b"a", PromptKey::from_bits(1)));
        for len in 0..3 * ENTRY {
            let bucket = vec![0xff; len];
            assert_eq!(find(&bucket, digest("a")), None);
            assert_eq!(find(&with(&bucket, digest("a"), pod(1)), digest("a")), Some(pod(1)));
        }
    }
}
