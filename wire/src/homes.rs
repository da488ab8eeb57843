//! Homes: the endpoints that keep what answers named, as responses, conversations, files and batches are in the memory or
//! on the disk of the one pod that made them.
//!
//! All pools' homes are one table in shared data, in buckets that are read and written each by itself. An entry is the
//! digest of a name, that of a pool, and an address. The oldest entry of a full bucket makes room for one of its kind: a
//! client makes up names of its own by the thousand, and drives out no name that an answer gave.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use picker_core::{KeptName, PromptKey};
use sha2::{Digest as _, Sha256};

/// Buckets of the table. A bucket is copied when one of its entries is looked up: 2 kB.
pub const BUCKETS: u64 = 1024;

/// Entries of a bucket. All buckets have 65,536: what a gateway answers in an hour at sixteen a second, in 2.2 MB, and
/// what clients name themselves.
pub const ENTRIES_MAX: usize = 64;

/// Entries of a bucket for names that clients chose: 8,192 in all, those of requests that run.
const CHOSEN_MAX: usize = 8;

/// Bit of a digest by which a name that a client chose differs. It is none of those that lead to the bucket.
const CHOSEN: u64 = 1 << 63;

/// Bytes of the longest name: ids of responses have 37.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes of the two digests that an entry begins with: of the name, and of the pool.
const DIGESTS: usize = 8 + 8;

/// Bytes of an entry: the digests, an IPv6 address or an IPv4 one mapped into it, and a port.
const ENTRY: usize = DIGESTS + 16 + 2;

/// Digest of a name as one tenant uses it, which finds its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameDigest(u64);

/// Digest of a pool's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolDigest(u64);

/// Endpoint that keeps what has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Pool of the endpoint.
    pub pool: PoolDigest,
    /// Address of the endpoint.
    pub endpoint: SocketAddr,
}

impl NameDigest {
    /// Digests a name under the key of all workers: some names are a client's own, and none may choose its bucket. The same
    /// name of another tenant is another name, so that no tenant learns from its way whether another has something.
    /// `None` for a name that is empty or too long.
    #[must_use]
    pub fn new(tenant: &str, name: &[u8], key: PromptKey) -> Option<Self> {
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return None;
        }
        let tenant_bytes = u64::try_from(tenant.len()).unwrap_or(u64::MAX);
        let digest = Sha256::new()
            .chain_update(key.bits().to_le_bytes())
            .chain_update(tenant_bytes.to_le_bytes())
            .chain_update(tenant)
            .chain_update(name);
        digest.finalize().first_chunk().map(|bytes| Self(u64::from_le_bytes(*bytes) & !CHOSEN))
    }

    /// Returns the digest of the name as one that a client chose.
    #[must_use]
    pub const fn chosen(self) -> Self {
        Self(self.0 | CHOSEN)
    }

    const fn is_chosen(self) -> bool {
        self.0 & CHOSEN != 0
    }

    /// Returns the number of its bucket.
    #[must_use]
    pub const fn bucket(self) -> u64 {
        self.0 % BUCKETS
    }
}

impl From<KeptName> for NameDigest {
    fn from(KeptName(digest): KeptName) -> Self {
        Self(digest)
    }
}

impl From<NameDigest> for KeptName {
    fn from(NameDigest(digest): NameDigest) -> Self {
        Self(digest)
    }
}

impl PoolDigest {
    /// Digests the name of a pool, which an operator chose: no key is needed.
    #[must_use]
    pub fn new(pool: &str) -> Self {
        let digest = Sha256::digest(pool);
        Self(digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
    }
}

/// Returns the endpoints that keep what has this name, by the bytes of its bucket, the newest first: at most one of each
/// pool for a name that an answer gave, and behind those the same for one that a client chose.
#[must_use]
pub fn find(bucket: &[u8], name: NameDigest) -> Vec<Home> {
    let (entries, _) = bucket.as_chunks::<ENTRY>();
    let of = |name: NameDigest| {
        let digest = name.0.to_le_bytes();
        entries.iter().rev().filter(move |entry| entry.starts_with(&digest))
    };
    let given = NameDigest(name.0 & !CHOSEN);
    of(given).chain(of(given.chosen())).filter_map(|entry| read(entry)).collect()
}

/// Returns the bytes of a bucket with one entry more.
#[must_use]
pub fn with(bucket: &[u8], name: NameDigest, home: Home) -> Vec<u8> {
    let Home { pool, endpoint } = home;
    let (entries, _) = bucket.as_chunks::<ENTRY>();
    let digests = [name.0.to_le_bytes(), pool.0.to_le_bytes()].concat();
    let mut bytes: Vec<u8> = Vec::with_capacity(bucket.len() + ENTRY);
    let others = entries.iter().filter(|entry| !entry.starts_with(&digests));
    let is_alike = |entry: &[u8; ENTRY]| digest(entry).is_chosen() == name.is_chosen();
    let most = if name.is_chosen() { CHOSEN_MAX } else { ENTRIES_MAX - CHOSEN_MAX };
    let mut beyond = others.clone().filter(|it| is_alike(it)).count().saturating_sub(most - 1);
    for entry in others {
        if beyond > 0 && is_alike(entry) {
            beyond -= 1;
        } else {
            bytes.extend(entry);
        }
    }
    bytes.extend(digests);
    let ip = match endpoint.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    bytes.extend(ip.octets());
    bytes.extend(endpoint.port().to_le_bytes());
    bytes
}

/// Returns the digest of an entry's name.
fn digest(entry: &[u8; ENTRY]) -> NameDigest {
    NameDigest(entry.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

fn read(entry: &[u8]) -> Option<Home> {
    let (digests, address) = entry.split_first_chunk::<DIGESTS>()?;
    let pool = PoolDigest(u64::from_le_bytes(*digests.last_chunk()?));
    let (ip, port) = address.split_first_chunk::<16>()?;
    let ip = IpAddr::from(Ipv6Addr::from(*ip)).to_canonical();
    let endpoint = SocketAddr::new(ip, u16::from_le_bytes(port.try_into().ok()?));
    Some(Home { pool, endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> NameDigest {
        NameDigest::new("", name.as_bytes(), PromptKey::from_bits(7)).unwrap()
    }

    fn pod(number: u16) -> Home {
        Home { pool: PoolDigest::new("a"), endpoint: ([10, 0, 0, 1], number).into() }
    }

    #[test]
    fn a_name_is_found_until_as_many_others_came() {
        let mut bucket = with(&[], digest("a"), pod(1));
        assert_eq!(find(&bucket, digest("a")), [pod(1)]);
        let six = Home { endpoint: "[fd00::1]:8000".parse().unwrap(), ..pod(1) };
        bucket = with(&bucket, digest("b"), six);
        assert_eq!(find(&bucket, digest("b")), [six]);
        bucket = with(&bucket, digest("a"), pod(2));
        assert_eq!(find(&bucket, digest("a")), [pod(2)], "the newest of a pool counts");
        assert_eq!(bucket.len(), 2 * ENTRY);
        for n in 0..ENTRIES_MAX - CHOSEN_MAX {
            assert!(!find(&bucket, digest("a")).is_empty(), "{n}");
            bucket = with(&bucket, digest(&n.to_string()), pod(3));
        }
        assert_eq!(find(&bucket, digest("a")), []);
        assert_eq!(bucket.len(), (ENTRIES_MAX - CHOSEN_MAX) * ENTRY);
    }

    #[test]
    fn names_that_clients_choose_drive_out_none_that_answers_gave() {
        let mut bucket = with(&[], digest("a"), pod(1));
        for n in 0..1_000 {
            bucket = with(&bucket, digest(&n.to_string()).chosen(), pod(3));
            bucket = with(&bucket, digest("a").chosen(), pod(2));
        }
        assert_eq!(bucket.len(), (1 + CHOSEN_MAX) * ENTRY);
        assert_eq!(find(&bucket, digest("a")), [pod(1), pod(2)], "the given one first");
        assert_eq!(find(&bucket, digest("999")), [pod(3)]);
        assert_eq!(find(&bucket, digest("0")), []);
    }

    #[test]
    fn pools_that_keep_the_same_name_are_told_apart() {
        let other = Home { pool: PoolDigest::new("b"), ..pod(2) };
        let bucket = with(&with(&[], digest("r1"), pod(1)), digest("r1"), other);
        assert_eq!(find(&bucket, digest("r1")), [other, pod(1)]);
        assert_eq!(find(&with(&bucket, digest("r1"), pod(3)), digest("r1")), [pod(3), other]);
    }

    #[test]
    fn the_same_name_of_another_tenant_is_another() {
        let key = PromptKey::from_bits(7);
        let of = |tenant: &str, name: &[u8]| NameDigest::new(tenant, name, key).unwrap();
        assert_ne!(of("a", b"resp_1"), of("b", b"resp_1"));
        assert_ne!(of("a", b"bc"), of("ab", b"c"), "what is the tenant's is not the name's");
        assert_eq!(of("a", b"resp_1"), of("a", b"resp_1"));
    }

    #[test]
    fn names_and_buckets_of_any_bytes_are_harmless() {
        let key = PromptKey::default();
        assert_eq!(NameDigest::new("", b"", key), None);
        assert_eq!(NameDigest::new("", &[b'x'; NAME_BYTES_MAX + 1], key), None);
        let other = NameDigest::new("", b"a", PromptKey::from_bits(1));
        assert_ne!(NameDigest::new("", b"a", key), other);
        for len in 0..3 * ENTRY {
            let bucket = vec![0xff; len];
            assert_eq!(find(&bucket, digest("a")), []);
            assert_eq!(find(&with(&bucket, digest("a"), pod(1)), digest("a")), [pod(1)]);
        }
    }
}
