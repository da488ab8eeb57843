//! Steering streams: resume, close, answer, another stream's context; and HTTP calls.

use super::{Call, Host, Outcome, Status, finish, headers};
use crate::{
    exchange::{ExchangeRef, Hold, LocalReply, Phase, Side},
    vm::Deferred,
    world::calls::HttpCall,
};
use wasmtime::{Caller, Linker};

type Slice = (u32, u32);

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
            finish(reply(&Call::new(c), status, [(d, dl), (b, bl), (h, hl)]))
        },
    )?;
    l.func_wrap(
        "env",
        "proxy_http_call",
        |c: Caller<'_, Host>, u, ul, h, hl, b, bl, _t: u32, _tl: u32, millis: u32, out: u32| {
            finish(http_call(&mut Call::new(c), [(u, ul), (h, hl), (b, bl)], millis, out))
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

/// Takes effect when the callback has returned; the request's maps are gone at once.
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

/// Without a stream (a root context) this does nothing and says Ok, but still stops whatever the
/// present callback returns.
fn reply(call: &Call<'_>, status: u32, [details, body, pairs]: [Slice; 3]) -> Outcome {
    let reply = LocalReply {
        status: u16::try_from(status).map_err(|_| Status::BadArgument)?,
        headers: headers::decode(&call.read(pairs.0, pairs.1)?),
        body: call.read(body.0, body.1)?,
        details: call.read_text(details.0, details.1)?,
        flags: 0,
    };
    let host = call.host();
    let stream: Option<ExchangeRef> = host.stream();
    let mut vm = host.vm.borrow_mut();
    if let Some(stream) = stream.filter(|stream| stream.borrow().phase < Phase::Logging) {
        vm.deferred.push_back(Deferred::Reply(stream, reply));
    }
    vm.stop_iteration = true;
    Ok(())
}

fn http_call(
    call: &mut Call<'_>,
    [cluster, pairs, body]: [Slice; 3],
    timeout_millis: u32,
    out: u32,
) -> Outcome {
    let cluster = call.read_text(cluster.0, cluster.1)?;
    let headers = headers::decode(&call.read(pairs.0, pairs.1)?);
    let body = call.read(body.0, body.1)?;
    let host = call.host();
    let mut world = host.world.borrow_mut();
    let complete =
        [":method", ":path", ":authority"].iter().all(|name| headers.get(name).is_some());
    if !complete || !world.clusters.contains(&cluster) {
        return Err(Status::BadArgument.into());
    }
    // Whichever context asks, its root is called back.
    let (worker, context) = (host.worker(), host.root_id());
    let made_nanos = world.now_nanos;
    let due_nanos = match timeout_millis {
        0 => u64::MAX,
        millis => made_nanos.saturating_add(1_000_000 * u64::from(millis)),
    };
    let request = HttpCall {
        token: 0,
        worker,
        cluster,
        headers,
        body,
        timeout_millis,
        context,
        made_nanos,
        due_nanos,
    };
    let token = world.calls.add(request);
    drop(world);
    call.write_u32(out, token)
}
