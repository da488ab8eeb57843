//! The argument of `set_envoy_filter_state`: a protobuf message of path (1), value (2), span (3).

use crate::status::Status;
use std::net::SocketAddr;

/// Name of the only object that this host knows how Envoy makes from text.
const ORIGINAL_DST: &str = "envoy.network.transport_socket.original_dst_address";

/// Returns the path and the value, if Envoy could make that object of it.
pub(super) fn decode(message: &[u8]) -> Result<(String, String), Status> {
    let mut path = String::new();
    let mut value = String::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (field, bytes, after) = field(rest).ok_or(Status::BadArgument)?;
        let text = || String::from_utf8(bytes.to_vec()).map_err(|_| Status::BadArgument);
        match field {
            1 => path = text()?,
            2 => value = text()?,
            _ => {}
        }
        rest = after;
    }
    match path.as_str() {
        ORIGINAL_DST if value.parse::<SocketAddr>().is_err() => Err(Status::BadArgument),
        ORIGINAL_DST => Ok((path, value)),
        _ => Err(Status::NotFound),
    }
}

/// Splits off the first field: its number, its content (if it is length-delimited) and the rest.
fn field(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let number = tag >> 3;
    match tag & 7 {
        0 => Some((number, &[], varint(rest)?.1)),
        2 => {
            let (len, rest) = varint(rest)?;
            let (content, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            Some((number, content, rest))
        }
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    // Ten groups of seven bits hold any u64.
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(at * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(path: &str, value: &str) -> Vec<u8> {
        let mut bytes = vec![0x18, 1];
        for (tag, text) in [(0x0a, path), (0x12, value)] {
            bytes.extend([tag, u8::try_from(text.len()).unwrap()]);
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn only_an_address_is_taken_as_a_destination() {
        let address = "10.0.0.7:8000";
        let ok = decode(&message(ORIGINAL_DST, address));
        assert_eq!(ok, Ok((ORIGINAL_DST.to_owned(), address.to_owned())));
        assert_eq!(decode(&message(ORIGINAL_DST, "pod-7")), Err(Status::BadArgument));
        assert_eq!(decode(&message("envoy.unknown", address)), Err(Status::NotFound));
        assert_eq!(decode(&message(ORIGINAL_DST, address)[..9]), Err(Status::BadArgument));
    }
}
