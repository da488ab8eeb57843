//! Buffers: the bodies of a stream, and the configurations.

use super::{
    call::{Call, Out, Slice},
    host::{Host, Outcome, finish},
};
use crate::{
    exchange::{ExchangeRef, Side},
    status::Status,
};
use wasmtime::{Caller, Linker};

const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;

/// A part of a buffer, in bytes.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    len: u32,
}

/// Two places in a VM's memory, which get a buffer's size and its flags.
#[derive(Clone, Copy)]
struct StatusOut {
    size_at: u32,
    flags_at: u32,
}

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_get_buffer_bytes", |c: Caller<'_, Host>, b, start, max, p, s| {
        finish(get(&mut Call::new(c), b, Span { start, len: max }, Out::new(p, s)))
    })?;
    l.func_wrap("env", "proxy_set_buffer_bytes", |c: Caller<'_, Host>, b, start, size, p, s| {
        finish(set(&Call::new(c), b, Span { start, len: size }, Slice::new(p, s)))
    })?;
    l.func_wrap("env", "proxy_get_buffer_status", |c: Caller<'_, Host>, b, size, flags| {
        finish(status(&mut Call::new(c), b, StatusOut { size_at: size, flags_at: flags }))
    })?;
    Ok(())
}

fn get(call: &mut Call<'_>, buffer: u32, span: Span, out: Out) -> Outcome {
    let start = index(span.start)?;
    let end = index(span.start.checked_add(span.len).ok_or(Status::BadArgument)?)?;
    let part = read(call.host(), buffer, |bytes| {
        bytes.get(start..end.min(bytes.len())).map(<[u8]>::to_vec)
    })?;
    match part.ok_or(Status::BadArgument)? {
        // Envoy leaves the result untouched when there is nothing to copy.
        none if none.is_empty() => Ok(()),
        part => call.give(&part, out),
    }
}

fn status(call: &mut Call<'_>, buffer: u32, out: StatusOut) -> Outcome {
    let size = read(call.host(), buffer, Vec::len)?;
    call.write_u32(out.size_at, u32::try_from(size).map_err(|_| Status::BadArgument)?)?;
    call.write_u32(out.flags_at, 0)
}

/// Replaces a part of a body: (0, 0) prepends, (0, at least its size) replaces everything, from its
/// size on appends; the rest is refused, as in Envoy.
fn set(call: &Call<'_>, buffer: u32, span: Span, content: Slice) -> Outcome {
    let new = call.read(content)?;
    let (stream, side) = body_of(call.host(), buffer)?;
    let mut stream = stream.borrow_mut();
    let body = stream.side_mut(side).body_mut();
    match (index(span.start)?, index(span.len)?) {
        (0, 0) => drop(body.splice(0..0, new)),
        (0, size) if size >= body.len() => *body = new,
        (start, _) if start > 0 && start >= body.len() => body.extend(new),
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

fn read<T>(host: &Host, buffer: u32, read: impl FnOnce(&Vec<u8>) -> T) -> Result<T, Status> {
    match buffer {
        REQUEST_BODY | RESPONSE_BODY => {
            let (stream, side) = body_of(host, buffer)?;
            let stream = stream.borrow();
            Ok(read(stream.side(side).body()))
        }
        VM_CONFIGURATION => Ok(read(&host.world.borrow().vm_config)),
        PLUGIN_CONFIGURATION => {
            let configuring = host.vm.borrow().configuring.clone();
            configuring.map(|plugin| read(&plugin.config)).ok_or(Status::NotFound)
        }
        CALL_BODY => {
            let vm = host.vm.borrow();
            vm.call_answer.as_ref().map(|answer| read(&answer.body)).ok_or(Status::NotFound)
        }
        _ => Err(Status::NotFound),
    }
}

fn index(number: u32) -> Result<usize, Status> {
    usize::try_from(number).map_err(|_| Status::BadArgument)
}

fn body_of(host: &Host, buffer: u32) -> Result<(ExchangeRef, Side), Status> {
    let side = match buffer {
        REQUEST_BODY => Side::Request,
        RESPONSE_BODY => Side::Response,
        _ => return Err(Status::BadArgument),
    };
    Ok((host.stream().ok_or(Status::NotFound)?, side))
}
