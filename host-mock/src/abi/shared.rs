//! Shared data and shared queues.

use super::{Call, Host, Outcome, Status, finish};
use crate::world::queues::Consumer;
use wasmtime::{Caller, Linker};

type Slice = (u32, u32);

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_get_shared_data", |c: Caller<'_, Host>, k, kl, p, s, cas| {
        finish(get(&mut Call::new(c), (k, kl), (p, s), cas))
    })?;
    l.func_wrap("env", "proxy_set_shared_data", |c: Caller<'_, Host>, k, kl, v, vl, cas| {
        finish(set(&Call::new(c), (k, kl), (v, vl), cas))
    })?;
    l.func_wrap("env", "proxy_register_shared_queue", |c: Caller<'_, Host>, n, nl, out| {
        finish(register(&mut Call::new(c), (n, nl), out))
    })?;
    l.func_wrap("env", "proxy_resolve_shared_queue", |c: Caller<'_, Host>, v, vl, n, nl, out| {
        finish(resolve(&mut Call::new(c), (v, vl), (n, nl), out))
    })?;
    l.func_wrap("env", "proxy_enqueue_shared_queue", |c: Caller<'_, Host>, token, v, vl| {
        finish(enqueue(&Call::new(c), token, (v, vl)))
    })?;
    l.func_wrap("env", "proxy_dequeue_shared_queue", |c: Caller<'_, Host>, token, p, s| {
        finish(dequeue(&mut Call::new(c), token, (p, s)))
    })?;
    Ok(())
}

fn get(call: &mut Call<'_>, key: Slice, (ptr_at, size_at): Slice, cas_at: u32) -> Outcome {
    let key = call.read(key.0, key.1)?;
    let found = call.host().world.borrow().shared_data.get(&key).cloned();
    let (value, cas) = found.ok_or(Status::NotFound)?;
    call.give(&value, ptr_at, size_at)?;
    call.write_u32(cas_at, cas)
}

fn set(call: &Call<'_>, key: Slice, value: Slice, cas: u32) -> Outcome {
    let key = call.read(key.0, key.1)?;
    let value = call.read(value.0, value.1)?;
    Ok(call.host().world.borrow_mut().shared_data.set(&key, value, cas)?)
}

fn register(call: &mut Call<'_>, name: Slice, out: u32) -> Outcome {
    let name = call.read(name.0, name.1)?;
    let host = call.host();
    let consumer = Consumer { worker: host.worker(), root_context: host.root_id() };
    let token = host.world.borrow_mut().queues.register(&name, consumer);
    call.write_u32(out, token)
}

fn resolve(call: &mut Call<'_>, vm_id: Slice, name: Slice, out: u32) -> Outcome {
    let vm_id = call.read_text(vm_id.0, vm_id.1)?;
    let name = call.read(name.0, name.1)?;
    let world = call.host().world.borrow();
    let own = vm_id.is_empty() || vm_id == world.vm_id;
    let token = world.queues.resolve(&name).filter(|_| own).ok_or(Status::NotFound)?;
    drop(world);
    call.write_u32(out, token)
}

fn enqueue(call: &Call<'_>, token: u32, value: Slice) -> Outcome {
    let value = call.read(value.0, value.1)?;
    let host = call.host();
    Ok(host.world.borrow_mut().queues.enqueue(host.worker(), token, value)?)
}

fn dequeue(call: &mut Call<'_>, token: u32, (ptr_at, size_at): Slice) -> Outcome {
    let value = call.host().world.borrow_mut().queues.dequeue(token)?;
    call.give(&value, ptr_at, size_at)
}
