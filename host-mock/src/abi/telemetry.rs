//! Logs and metrics.

use super::{
    call::{Call, Slice},
    host::{Host, Outcome, finish},
};
use crate::{status::Status, world::Level};
use wasmtime::{Caller, Linker};

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_log", |c: Caller<'_, Host>, level: u32, at: u32, len: u32| {
        finish(log(&Call::new(c), level, Slice::new(at, len)))
    })?;
    l.func_wrap("env", "proxy_get_log_level", |c: Caller<'_, Host>, out: u32| {
        let mut call = Call::new(c);
        let level = call.host().world.borrow().log_level;
        finish(call.write_u32(out, level as u32))
    })?;
    link_metrics(l)
}

fn log(call: &Call<'_>, level: u32, slice: Slice) -> Outcome {
    let level = Level::from_abi(level).ok_or(Status::BadArgument)?;
    let message = call.read_text(slice)?;
    let host = call.host();
    host.world.borrow_mut().log(host.worker(), level, message);
    Ok(())
}

fn link_metrics(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        "proxy_define_metric",
        |c: Caller<'_, Host>, kind: u32, at: u32, len: u32, out: u32| {
            finish(define_metric(&mut Call::new(c), kind, Slice::new(at, len), out))
        },
    )?;
    l.func_wrap("env", "proxy_increment_metric", |c: Caller<'_, Host>, id: u32, by: i64| {
        let result = c.data().called().world.borrow_mut().metrics.increment(id, by);
        finish(result.map_err(Into::into))
    })?;
    l.func_wrap("env", "proxy_record_metric", |c: Caller<'_, Host>, id: u32, value: u64| {
        let result = c.data().called().world.borrow_mut().metrics.record(id, value);
        finish(result.map_err(Into::into))
    })?;
    l.func_wrap("env", "proxy_get_metric", |c: Caller<'_, Host>, id: u32, out: u32| {
        finish(get_metric(&mut Call::new(c), id, out))
    })?;
    Ok(())
}

fn define_metric(call: &mut Call<'_>, kind: u32, slice: Slice, out: u32) -> Outcome {
    let name = call.read_text(slice)?;
    let id = call.host().world.borrow_mut().metrics.define(kind, &name)?;
    call.write_u32(out, id)
}

fn get_metric(call: &mut Call<'_>, id: u32, out: u32) -> Outcome {
    let value = call.host().world.borrow_mut().metrics.get(id)?;
    call.write(out, &value.to_le_bytes())
}
