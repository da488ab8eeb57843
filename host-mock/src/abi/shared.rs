//! Shared data and shared queues.

use super::{
    call::{Call, Out, Slice},
    host::{Host, Outcome, finish},
};
use crate::{status::Status, world::queues::Consumer};
use wasmtime::{Caller, Linker};

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_get_shared_data", |c: Caller<'_, Host>, k, kl, p, s, cas| {
        finish(get(&mut Call::new(c), Slice::new(k, kl), Out::new(p, s), cas))
    })?;
    l.func_wrap("env", "proxy_set_shared_data", |c: Caller<'_, Host>, k, kl, v, vl, cas| {
        finish(set(&Call::new(c), Slice::new(k, kl), Slice::new(v, vl), cas))
    })?;
    l.func_wrap("env", "proxy_register_shared_queue", |c: Caller<'_, Host>, n, nl, out| {
        finish(register(&mut Call::new(c), Slice::new(n, nl), out))
    })?;
    l.func_wrap("env", "proxy_resolve_shared_queue", |c: Caller<'_, Host>, v, vl, n, nl, out| {
        finish(resolve(&mut Call::new(c), Slice::new(v, vl), Slice::new(n, nl), out))
    })?;
    l.func_wrap("env", "proxy_enqueue_shared_queue", |c: Caller<'_, Host>, token, v, vl| {
        finish(enqueue(&Call::new(c), token, Slice::new(v, vl)))
    })?;
    l.func_wrap("env", "proxy_dequeue_shared_queue", |c: Caller<'_, Host>, token, p, s| {
        finish(dequeue(&mut Call::new(c), token, Out::new(p, s)))
    })?;
    Ok(())
}

fn get(call: &mut Call<'_>, key: Slice, out: Out, cas_at: u32) -> Outcome {
    let key = call.read(key)?;
    let found = call.host().world.borrow().shared_data.get(&key).cloned();
    let (value, cas) = found.ok_or(Status::NotFound)?;
    call.give(&value, out)?;
    call.write_u32(cas_at, cas)
}

fn set(call: &Call<'_>, key: Slice, value: Slice, cas: u32) -> Outcome {
    let key = call.read(key)?;
    let value = call.read(value)?;
    Ok(call.host().world.borrow_mut().shared_data.set(&key, value, cas)?)
}

fn register(call: &mut Call<'_>, name: Slice, out: u32) -> Outcome {
    let name = call.read(name)?;
    let host = call.host();
    let consumer = Consumer { worker: host.worker(), root_context: host.root_id() };
    let token = host.world.borrow_mut().queues.register(&name, consumer);
    call.write_u32(out, token)
}

fn resolve(call: &mut Call<'_>, vm_id: Slice, name: Slice, out: u32) -> Outcome {
    let vm_id = call.read_text(vm_id)?;
    let name = call.read(name)?;
    let world = call.host().world.borrow();
    let own = vm_id.is_empty() || vm_id == world.vm_id;
    let token = world.queues.resolve(&name).filter(|_| own).ok_or(Status::NotFound)?;
    drop(world);
    call.write_u32(out, token)
}

fn enqueue(call: &Call<'_>, token: u32, value: Slice) -> Outcome {
    let value = call.read(value)?;
    let host = call.host();
    Ok(host.world.borrow_mut().queues.enqueue(host.worker(), token, value)?)
}

fn dequeue(call: &mut Call<'_>, token: u32, out: Out) -> Outcome {
    let value = call.host().world.borrow_mut().queues.dequeue(token)?;
    call.give(&value, out)
}
