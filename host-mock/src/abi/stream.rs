//! Steering streams: resume, close, answer, another stream's context; and HTTP calls.

use super::{
    call::{Call, Slice},
    headers,
    host::{Host, Outcome, finish},
};
use crate::{
    exchange::{ExchangeRef, Hold, LocalReply, Phase, Side},
    status::Status,
    vm_state::Deferred,
    world::calls::HttpCall,
};
use wasmtime::{Caller, Linker};

/// Arguments of `proxy_send_local_response`.
struct ReplyArgs {
    status: u32,
    details: Slice,
    body: Slice,
    headers: Slice,
}

/// Arguments of `proxy_http_call`.
struct HttpCallArgs {
    cluster: Slice,
    headers: Slice,
    body: Slice,
    /// 0 for no time-out.
    timeout_millis: u32,
}

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_continue_stream", |c: Caller<'_, Host>, kind: u32| {
        finish(resume(c.data().called(), kind))
    })?;
    l.func_wrap("env", "proxy_close_stream", |c: Caller<'_, Host>, kind: u32| {
        finish(close(c.data().called(), kind))
    })?;
    l.func_wrap("env", "proxy_set_effective_context", |mut c: Caller<'_, Host>, id: u32| {
        c.data().called();
        finish(set_effective_context(c.data_mut(), id))
    })?;
    l.func_wrap(
        "env",
        "proxy_send_local_response",
        |c: Caller<'_, Host>, status: u32, d, dl, b, bl, h, hl, _grpc: u32| {
            let args = ReplyArgs {
                status,
                details: Slice::new(d, dl),
                body: Slice::new(b, bl),
                headers: Slice::new(h, hl),
            };
            finish(reply(&Call::new(c), args))
        },
    )?;
    l.func_wrap(
        "env",
        "proxy_http_call",
        |c: Caller<'_, Host>, u, ul, h, hl, b, bl, _t: u32, _tl: u32, millis: u32, out: u32| {
            let args = HttpCallArgs {
                cluster: Slice::new(u, ul),
                headers: Slice::new(h, hl),
                body: Slice::new(b, bl),
                timeout_millis: millis,
            };
            finish(http_call(&mut Call::new(c), args, out))
        },
    )?;
    Ok(())
}

fn set_effective_context(host: &mut Host, id: u32) -> Outcome {
    if !host.vm.borrow().contexts.contains_key(&id) {
        return Err(Status::BadArgument.into());
    }
    host.effective = id;
    Ok(())
}

/// Lets a stream go on once the callback has returned; the request's maps are gone at once.
fn resume(host: &Host, kind: u32) -> Outcome {
    let side = match kind {
        0 => Side::Request,
        1 => Side::Response,
        _ => return Err(Status::BadArgument.into()),
    };
    if let Some(stream) = host.stream() {
        {
            let request = &mut stream.borrow_mut().request;
            for hold in [&mut request.headers_hold, &mut request.trailers_hold] {
                if *hold == Hold::Held {
                    *hold = Hold::LetGo;
                }
            }
        }
        host.vm.borrow_mut().deferred.push_back(Deferred::Continue(stream, side));
    }
    Ok(())
}

fn close(host: &Host, kind: u32) -> Outcome {
    if kind > 1 {
        return Err(Status::BadArgument.into());
    }
    if let Some(stream) = host.stream() {
        host.vm.borrow_mut().deferred.push_back(Deferred::Close(stream));
    }
    Ok(())
}

/// Answers a stream in the upstream's place. Without a stream (a root context) this does nothing
/// and says Ok, but still stops whatever the present callback returns.
fn reply(call: &Call<'_>, args: ReplyArgs) -> Outcome {
    let reply = LocalReply {
        status: u16::try_from(args.status).map_err(|_| Status::BadArgument)?,
        headers: headers::decode(&call.read(args.headers)?),
        body: call.read(args.body)?,
        details: call.read_text(args.details)?,
        flags: 0,
    };
    let host = call.host();
    let stream: Option<ExchangeRef> = host.stream();
    let stops = stream.is_some() || host.world.borrow().reply_of_none_stops;
    let mut vm = host.vm.borrow_mut();
    if let Some(stream) = stream.filter(|stream| stream.borrow().phase < Phase::Logging) {
        vm.deferred.push_back(Deferred::Reply(stream, reply));
    }
    vm.stop_iteration |= stops;
    Ok(())
}

fn http_call(call: &mut Call<'_>, args: HttpCallArgs, token_at: u32) -> Outcome {
    let cluster = call.read_text(args.cluster)?;
    let headers = headers::decode(&call.read(args.headers)?);
    let body = call.read(args.body)?;
    let host = call.host();
    let mut world = host.world.borrow_mut();
    let complete =
        [":method", ":path", ":authority"].iter().all(|name| headers.get(name).is_some());
    if !complete || !world.clusters.contains(&cluster) {
        return Err(Status::BadArgument.into());
    }
    let made_nanos = world.now_nanos;
    let due_nanos = match args.timeout_millis {
        0 => u64::MAX,
        millis => made_nanos.saturating_add(1_000_000 * u64::from(millis)),
    };
    let request = HttpCall {
        token: 0,
        worker: host.worker(),
        cluster,
        headers,
        body,
        timeout_millis: args.timeout_millis,
        // The root is called back, whichever of its contexts asks.
        context: host.root_id(),
        made_nanos,
        due_nanos,
    };
    let token = world.calls.add(request);
    drop(world);
    call.write_u32(token_at, token)
}
