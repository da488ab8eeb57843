//! Header maps, which are readable or not by how far the stream is.

use super::{
    call::{Call, Out, Slice},
    host::{Fault, Host, Outcome, finish},
};
use crate::{
    exchange::{Direction, Exchange, Hold, Phase},
    headers::HeaderMap,
    status::Status,
};
use wasmtime::{Caller, Linker};

/// Limits of a serialized map, which Envoy drops above either (proxy-wasm-cpp-host's limits.h).
const PAIRS_BYTES_MAX: usize = 1024 * 1024;
const PAIRS_MAX: usize = 1024;

/// Numbers of the maps that belong to an HTTP call of the plugin and not to a stream.
const CALL_HEADERS: u32 = 6;
const CALL_TRAILERS: u32 = 7;

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_get_header_map_pairs", |c: Caller<'_, Host>, m, p, s| {
        finish(get_pairs(&mut Call::new(c), m, Out::new(p, s)))
    })?;
    l.func_wrap("env", "proxy_set_header_map_pairs", |c: Caller<'_, Host>, m, p, s| {
        finish(set_pairs(&Call::new(c), m, Slice::new(p, s)))
    })?;
    l.func_wrap("env", "proxy_get_header_map_value", |c: Caller<'_, Host>, m, k, kl, p, s| {
        finish(get_value(&mut Call::new(c), m, Slice::new(k, kl), Out::new(p, s)))
    })?;
    l.func_wrap("env", "proxy_add_header_map_value", |c: Caller<'_, Host>, m, k, kl, v, vl| {
        finish(edit(&Call::new(c), m, Slice::new(k, kl), |call, map, name| {
            map.add(name, call.read(Slice::new(v, vl))?);
            Ok(())
        }))
    })?;
    l.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |c: Caller<'_, Host>, m, k, kl, v, vl| {
            finish(edit(&Call::new(c), m, Slice::new(k, kl), |call, map, name| {
                map.set(name, call.read(Slice::new(v, vl))?);
                Ok(())
            }))
        },
    )?;
    l.func_wrap("env", "proxy_remove_header_map_value", |c: Caller<'_, Host>, m, k, kl| {
        finish(edit(&Call::new(c), m, Slice::new(k, kl), |_, map, name| {
            map.remove(name);
            Ok(())
        }))
    })?;
    l.func_wrap("env", "proxy_get_header_map_size", |c: Caller<'_, Host>, m, out| {
        finish(get_size(&mut Call::new(c), m, out))
    })?;
    Ok(())
}

fn get_pairs(call: &mut Call<'_>, map: u32, out: Out) -> Outcome {
    // A map that isn't there reads as an empty one.
    let bytes = with_map(call.host(), map, encode)?.unwrap_or_default();
    call.give(&bytes, out)
}

fn set_pairs(call: &Call<'_>, map: u32, slice: Slice) -> Outcome {
    let pairs = decode(&call.read(slice)?);
    with_map_mut(call.host(), map, |present| {
        *present = pairs;
        Ok(())
    })
}

fn get_value(call: &mut Call<'_>, map: u32, key: Slice, out: Out) -> Outcome {
    let name = call.read_text(key)?;
    let found = with_map(call.host(), map, |m| m.get(&name).map(<[u8]>::to_vec))?;
    let value = found.ok_or(Status::BadArgument)?.ok_or(Status::NotFound)?;
    call.give(&value, out)
}

fn get_size(call: &mut Call<'_>, map: u32, out: u32) -> Outcome {
    let size = with_map(call.host(), map, HeaderMap::byte_size)?.ok_or(Status::BadArgument)?;
    call.write_u32(out, u32::try_from(size).map_err(|_| Status::BadArgument)?)
}

fn edit(
    call: &Call<'_>,
    map: u32,
    key: Slice,
    change: impl FnOnce(&Call<'_>, &mut HeaderMap, &str) -> Outcome,
) -> Outcome {
    let name = call.read_text(key)?;
    with_map_mut(call.host(), map, |present| change(call, present, &name))
}

/// Reads a map; `None` when the stream is past it.
fn with_map<T>(
    host: &Host,
    map: u32,
    read: impl FnOnce(&HeaderMap) -> T,
) -> Result<Option<T>, Fault> {
    if matches!(map, CALL_HEADERS | CALL_TRAILERS) {
        let vm = host.vm.borrow();
        let Some(answer) = &vm.call_answer else { return Ok(None) };
        let found =
            if map == CALL_HEADERS { Some(&answer.headers) } else { answer.trailers.as_ref() };
        return Ok(found.map(read));
    }
    let Some(stream) = host.stream() else { return Ok(None) };
    let stream = stream.borrow();
    let (direction, trailers) = direction(&stream, map).ok_or(Status::BadArgument)?;
    let hold = if trailers { direction.trailers_hold } else { direction.headers_hold };
    let visible = hold == Hold::Held || stream.phase == Phase::Logging;
    let found = if trailers { direction.trailers.as_ref() } else { Some(&direction.headers) };
    Ok(found.filter(|_| visible).map(read))
}

/// Writes a map; only while the filter holds it.
fn with_map_mut(host: &Host, map: u32, write: impl FnOnce(&mut HeaderMap) -> Outcome) -> Outcome {
    let stream = host.stream().ok_or(Status::BadArgument)?;
    let mut stream = stream.borrow_mut();
    if map == 0 {
        stream.route_cache_clears += 1;
    }
    let direction = match map {
        0 | 1 => &mut stream.request,
        2 | 3 => &mut stream.response,
        _ => return Err(Status::BadArgument.into()),
    };
    match (map, &mut direction.trailers) {
        (0 | 2, _) if direction.headers_hold == Hold::Held => write(&mut direction.headers),
        (1 | 3, Some(trailers)) if direction.trailers_hold == Hold::Held => write(trailers),
        _ => Err(Status::BadArgument.into()),
    }
}

const fn direction(stream: &Exchange, map: u32) -> Option<(&Direction, bool)> {
    match map {
        0 => Some((&stream.request, false)),
        1 => Some((&stream.request, true)),
        2 => Some((&stream.response, false)),
        3 => Some((&stream.response, true)),
        _ => None,
    }
}

/// Serializes a map: the number of pairs, then all sizes, then names and values, each with a NUL
/// behind it.
fn encode(map: &HeaderMap) -> Vec<u8> {
    if map.is_empty() {
        return Vec::new();
    }
    let size = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = size(map.len()).to_vec();
    for (name, value) in map.iter() {
        bytes.extend(size(name.len()));
        bytes.extend(size(value.len()));
    }
    for (name, value) in map.iter() {
        for part in [name.as_bytes(), value] {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
    }
    bytes
}

/// Reads what [`encode`] writes; malformed or oversized bytes are an empty map, as in Envoy.
pub(super) fn decode(bytes: &[u8]) -> HeaderMap {
    if bytes.len() > PAIRS_BYTES_MAX {
        return HeaderMap::new();
    }
    decode_pairs(bytes).unwrap_or_default()
}

fn decode_pairs(bytes: &[u8]) -> Option<HeaderMap> {
    let number = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
    };
    let count = number(0).filter(|count| *count <= PAIRS_MAX)?;
    let mut at = 4 + count * 8;
    let mut part = |len: usize| {
        let found = bytes.get(at..at.checked_add(len)?)?;
        at += len + 1;
        Some(found)
    };
    let mut map = HeaderMap::new();
    for pair in 0..count {
        let name = part(number(4 + pair * 8)?)?;
        let value = part(number(8 + pair * 8)?)?;
        map.add(&String::from_utf8_lossy(name), value);
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_survive_the_wire_and_broken_or_too_large_ones_are_empty() {
        let map = HeaderMap::from(&[("a", b"caf\xe9".as_slice()), ("b", b""), ("a", b"2")]);
        let bytes = encode(&map);
        assert_eq!(decode(&bytes), map);
        for len in 0..bytes.len() - 1 {
            assert!(decode(&bytes[..len]).is_empty(), "cut at {len}");
        }
        let many: HeaderMap = (0..1025).map(|n| (format!("h{n}"), "")).collect();
        assert!(decode(&encode(&many)).is_empty());
    }
}
