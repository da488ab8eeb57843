//! Properties and foreign functions.

mod filter_state;

use super::{
    call::{Call, Out, Slice},
    host::{Fault, Host, Outcome, finish},
};
use crate::{
    exchange::{Exchange, Phase},
    headers::HeaderMap,
    status::Status,
    vm_state::Context,
};
use wasmtime::{Caller, Linker};

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_get_property", |c: Caller<'_, Host>, p, pl, v, s| {
        finish(get_property(&mut Call::new(c), Slice::new(p, pl), Out::new(v, s)))
    })?;
    l.func_wrap("env", "proxy_set_property", |c: Caller<'_, Host>, p, pl, v, vl| {
        finish(set_property(&Call::new(c), Slice::new(p, pl), Slice::new(v, vl)))
    })?;
    l.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |c: Caller<'_, Host>, n, nl, a, al, r, s| {
            finish(foreign(&mut Call::new(c), Slice::new(n, nl), Slice::new(a, al), Out::new(r, s)))
        },
    )?;
    Ok(())
}

fn get_property(call: &mut Call<'_>, path: Slice, out: Out) -> Outcome {
    // Parts are divided by NUL. A part may have dots itself, as a filter's name has; no two paths that this host
    // knows read alike for it.
    let path = call.read_text(path)?.replace('\0', ".");
    let value = find(call.host(), path.trim_end_matches('.'))?;
    call.give(&value, out)
}

fn set_property(call: &Call<'_>, path: Slice, value: Slice) -> Outcome {
    let path = call.read_text(path)?.replace('\0', ".");
    let value = call.read(value)?;
    let stream = call.host().stream().ok_or(Status::NotFound)?;
    stream.borrow_mut().properties.insert(path, value);
    Ok(())
}

fn find(host: &Host, path: &str) -> Result<Vec<u8>, Fault> {
    if path == "filter_state" {
        // A map of protobuf messages, which Envoy can't serialize for a plugin.
        return Err(Status::SerializationFailure.into());
    }
    let now = host.world.borrow().now_nanos;
    if let Some(stream) = host.stream() {
        let stream = stream.borrow();
        let own = stream.properties.get(path).or_else(|| stream.preset.get(path)).cloned();
        if let Some(value) = own.or_else(|| stream_property(&stream, path, now)) {
            return Ok(value);
        }
    }
    let shared = host.world.borrow().properties.get(path).cloned();
    shared.or_else(|| plugin_property(host, path)).ok_or(Fault::Status(Status::NotFound))
}

fn plugin_property(host: &Host, path: &str) -> Option<Vec<u8>> {
    let plugin = match host.context()? {
        Context::Root(plugin) => plugin,
        Context::Stream { stream, .. } => stream.borrow().plugin.clone(),
    };
    match path {
        "plugin_name" => Some(plugin.name.clone().into()),
        "plugin_root_id" => Some(plugin.root_id.clone().into()),
        "plugin_vm_id" => Some(host.world.borrow().vm_id.clone().into()),
        _ => None,
    }
}

/// Returns a property that the stream itself has. Numbers are eight bytes, little endian.
fn stream_property(stream: &Exchange, path: &str, now: u64) -> Option<Vec<u8>> {
    let number = |n: u64| Some(n.to_le_bytes().to_vec());
    match path.split_once('.')? {
        ("request", part) => {
            request_property(&stream.request.headers, part).or_else(|| match part {
                "time" => number(stream.started_nanos),
                "size" => number(u64::try_from(stream.upstream.as_ref()?.body.len()).ok()?),
                "duration" if stream.phase >= Phase::Logging => {
                    number(now.saturating_sub(stream.started_nanos))
                }
                _ => None,
            })
        }
        ("response", part) => match part {
            "code" => number(stream.client.as_ref().map(|response| response.status)?.into()),
            "code_details" => stream.details.clone().map(Into::into),
            "flags" => number(stream.flags),
            _ => header(&stream.response.headers, part.strip_prefix("headers.")?),
        },
        ("upstream", "address") => stream.upstream_address.clone().map(Into::into),
        _ => None,
    }
}

fn request_property(headers: &HeaderMap, part: &str) -> Option<Vec<u8>> {
    let path = || headers.text(":path");
    match part {
        "path" => header(headers, ":path"),
        "url_path" => Some(path()?.split('?').next()?.into()),
        "query" => Some(path()?.split_once('?').map_or("", |(_, query)| query).into()),
        "host" => header(headers, ":authority"),
        "method" => header(headers, ":method"),
        "scheme" => header(headers, ":scheme"),
        "id" => header(headers, "x-request-id"),
        "useragent" => header(headers, "user-agent"),
        "referer" => header(headers, "referer"),
        "protocol" => Some("HTTP/1.1".into()),
        _ => header(headers, part.strip_prefix("headers.")?),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers.get(name).map(<[u8]>::to_vec)
}

/// Runs a foreign function of a stock Envoy that filters use for routing; any other is NotFound.
fn foreign(call: &mut Call<'_>, name: Slice, args: Slice, out: Out) -> Outcome {
    let name = call.read_text(name)?;
    let args = call.read(args)?;
    match name.as_str() {
        "clear_route_cache" => {
            if let Some(stream) = call.host().stream() {
                stream.borrow_mut().route_cache_clears += 1;
            }
        }
        "set_envoy_filter_state" => {
            let (path, value) = filter_state::decode(&args)?;
            let stream = call.host().stream().ok_or(Status::NotFound)?;
            stream.borrow_mut().filter_state.insert(path, value);
        }
        _ => return Err(Status::NotFound.into()),
    }
    call.give(&[], out)
}
