//! Session tokens: an endpoint's address, sealed so that a client can neither read nor make one.
//!
//! A token is a nonce, the address under a mask that the nonce gives, and a tag over both and over the place that the
//! token is for. Mask and tag are HMAC-SHA256 under one key, which all workers of a gateway have.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a key: the size of the hash.
pub const KEY_BYTES: usize = 32;

/// Bytes of a nonce: a million tokens share one with a chance of 1 in 10^7, and then only show that they are equal.
const NONCE: usize = 8;
/// Bytes of an address: an IPv6 one, or an IPv4 one mapped into it, and a port.
const ADDRESS: usize = 18;
/// Bytes of a tag: to guess one takes 2^127 requests.
const TAG: usize = 16;
/// Bytes of a token before its encoding.
const TOKEN: usize = NONCE + ADDRESS + TAG;

/// Key of a gateway's session tokens.
#[derive(Clone)]
pub struct SessionKey(Hmac<Sha256>);

/// Place that a token is for; at any other it is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPlace<'a> {
    /// The pool.
    pub pool: &'a str,
    /// The header that carries the token.
    pub header: &'a str,
    /// The profile that the session is kept by; empty for the endpoint that answers.
    pub profile: &'a str,
}

impl SessionKey {
    /// Makes the key of these bytes; `None` for another number of them than [`KEY_BYTES`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEY_BYTES).then(|| Hmac::new_from_slice(bytes).ok().map(Self))?
    }

    /// Seals an endpoint. `nonce` is another number for each token.
    #[must_use]
    pub fn seal(&self, endpoint: SocketAddr, place: SessionPlace<'_>, nonce: u64) -> String {
        let nonce = nonce.to_le_bytes();
        let mut address = bytes(endpoint);
        self.mask(nonce, &mut address);
        let tag = self.tag(nonce, &address, place).finalize().into_bytes();
        let token = nonce.into_iter().chain(address).chain(tag.into_iter().take(TAG));
        URL_SAFE_NO_PAD.encode(token.collect::<Vec<u8>>())
    }

    /// Opens a token; `None` for one that this key did not seal for this place.
    #[must_use]
    pub fn open(&self, token: &str, place: SessionPlace<'_>) -> Option<SocketAddr> {
        let token: [u8; TOKEN] = URL_SAFE_NO_PAD.decode(token.trim()).ok()?.try_into().ok()?;
        let (nonce, rest) = token.split_first_chunk::<NONCE>()?;
        let (address, tag) = rest.split_first_chunk::<ADDRESS>()?;
        // In a time that says nothing of how much of the tag is right.
        self.tag(*nonce, address, place).verify_truncated_left(tag).ok()?;
        let mut address = *address;
        self.mask(*nonce, &mut address);
        let (ip, port) = address.split_first_chunk::<16>()?;
        let ip = IpAddr::from(Ipv6Addr::from(*ip)).to_canonical();
        Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
    }

    fn mask(&self, nonce: [u8; NONCE], address: &mut [u8; ADDRESS]) {
        let mask = self.0.clone().chain_update(b"mask\n").chain_update(nonce).finalize();
        for (byte, mask) in address.iter_mut().zip(mask.into_bytes()) {
            *byte ^= mask;
        }
    }

    fn tag(
        &self,
        nonce: [u8; NONCE],
        address: &[u8; ADDRESS],
        place: SessionPlace<'_>,
    ) -> Hmac<Sha256> {
        let SessionPlace { pool, header, profile } = place;
        // Names of pools and headers have no line feed, so that no two places read alike.
        let place = format!("{pool}\n{header}\n{profile}");
        let mac = self.0.clone().chain_update(b"tag\n").chain_update(nonce);
        mac.chain_update(address).chain_update(place)
    }
}

fn bytes(endpoint: SocketAddr) -> [u8; ADDRESS] {
    let ip = match endpoint.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; ADDRESS];
    let all = ip.octets().into_iter().chain(endpoint.port().to_be_bytes());
    bytes.iter_mut().zip(all).for_each(|(byte, value)| *byte = value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: SessionPlace<'_> =
        SessionPlace { pool: "default", header: "x-session-token", profile: "" };

    fn key(byte: u8) -> SessionKey {
        SessionKey::new(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn a_token_opens_for_its_key_and_place_alone() {
        for address in ["10.0.0.1:8000", "[fd00::1]:9", "255.255.255.255:65535"] {
            let endpoint: SocketAddr = address.parse().unwrap();
            let token = key(1).seal(endpoint, PLACE, 7);
            assert_eq!(key(1).open(&token, PLACE), Some(endpoint));
            assert_eq!(key(1).open(&format!(" {token} "), PLACE), Some(endpoint));
            assert_eq!(key(2).open(&token, PLACE), None, "another gateway's");
            for other in [
                SessionPlace { pool: "other", ..PLACE },
                SessionPlace { header: "x-other", ..PLACE },
                SessionPlace { profile: "prefill", ..PLACE },
            ] {
                assert_eq!(key(1).open(&token, other), None, "{other:?}");
            }
        }
    }

    /// A token is found in logs and browsers: it must not tell where pods are, nor which sessions share one.
    #[test]
    fn a_token_names_no_address() {
        let endpoint: SocketAddr = "10.0.0.1:8000".parse().unwrap();
        let tokens: Vec<String> =
            (0..64).map(|nonce| key(1).seal(endpoint, PLACE, nonce)).collect();
        for token in &tokens {
            assert_eq!(token.len(), 56);
            let raw = URL_SAFE_NO_PAD.decode(token).unwrap();
            let holds = |part: &[u8]| raw.windows(part.len()).any(|window| window == part);
            assert!(!holds(&[10, 0, 0, 1]) && !holds(b"10.0.0.1"), "{token}");
            let twins = tokens.iter().filter(|other| other[11..] == token[11..]);
            assert_eq!(twins.count(), 1, "equal endpoints look alike: {token}");
        }
    }

    #[test]
    fn what_was_changed_or_made_up_opens_nothing() {
        let token = key(1).seal("10.0.0.1:8000".parse().unwrap(), PLACE, 7);
        let raw = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..raw.len() * 8 {
            let mut raw = raw.clone();
            raw[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).open(&URL_SAFE_NO_PAD.encode(raw), PLACE), None, "bit {bit}");
        }
        for token in ["", "10.0.0.1:8000", "MTAuMC4wLjE6ODAwMA", &token[1..], &format!("{token}AA")]
        {
            assert_eq!(key(1).open(token, PLACE), None, "{token}");
        }
        assert!(SessionKey::new(&[0; 31]).is_none() && SessionKey::new(&[]).is_none());
    }

    #[test]
    fn no_text_makes_it_panic() {
        arbtest::arbtest(|u| {
            let text: String = u.arbitrary()?;
            assert_eq!(key(1).open(&text, PLACE), None);
            Ok(())
        });
    }
}
