//! Logs, time, ticks and metrics; and the calls that this host does not model.

use super::{Call, Host, Outcome, Status, finish};
use crate::{vm::Tick, world::Level};
use wasmtime::{Caller, Linker};

const NANOS_PER_MILLI: u64 = 1_000_000;

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_log", |c: Caller<'_, Host>, level: u32, at: u32, len: u32| {
        finish(log(&Call::new(c), level, (at, len)))
    })?;
    l.func_wrap("env", "proxy_get_log_level", |c: Caller<'_, Host>, out: u32| {
        finish(Call::new(c).write_u32(out, Level::Trace as u32))
    })?;
    l.func_wrap("env", "proxy_get_current_time_nanoseconds", |c: Caller<'_, Host>, out: u32| {
        let mut call = Call::new(c);
        let now = call.host().world.borrow().now_nanos;
        finish(call.write(out, &now.to_le_bytes()))
    })?;
    l.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |c: Caller<'_, Host>, millis: u32| finish(set_tick_period(c.data(), millis)),
    )?;
    link_metrics(l)?;
    link_unmodelled(l)
}

fn log(call: &Call<'_>, level: u32, (at, len): (u32, u32)) -> Outcome {
    let level = Level::from_abi(level).ok_or(Status::BadArgument)?;
    let message = call.read_text(at, len)?;
    let host = call.host();
    host.world.borrow_mut().log(host.worker(), level, message);
    Ok(())
}

fn set_tick_period(host: &Host, millis: u32) -> Outcome {
    let root = host.root_id();
    let now = host.world.borrow().now_nanos;
    let period_nanos = u64::from(millis) * NANOS_PER_MILLI;
    let ticks = &mut host.vm.borrow_mut().ticks;
    match (millis, ticks.get_mut(&root)) {
        (0, _) => {
            ticks.remove(&root);
        }
        // A running timer keeps its next due time; the new period counts from then on.
        (_, Some(tick)) => tick.period_nanos = period_nanos,
        (_, None) => {
            ticks.insert(root, Tick { period_nanos, due_nanos: now + period_nanos });
        }
    }
    Ok(())
}

fn link_metrics(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap(
        "env",
        "proxy_define_metric",
        |c: Caller<'_, Host>, kind: u32, at: u32, len: u32, out: u32| {
            finish(define_metric(&mut Call::new(c), kind, (at, len), out))
        },
    )?;
    l.func_wrap("env", "proxy_increment_metric", |c: Caller<'_, Host>, id: u32, by: i64| {
        let result = c.data().world.borrow_mut().metrics.increment(id, by);
        finish(result.map_err(Into::into))
    })?;
    l.func_wrap("env", "proxy_record_metric", |c: Caller<'_, Host>, id: u32, value: u64| {
        let result = c.data().world.borrow_mut().metrics.record(id, value);
        finish(result.map_err(Into::into))
    })?;
    l.func_wrap("env", "proxy_get_metric", |c: Caller<'_, Host>, id: u32, out: u32| {
        finish(get_metric(&mut Call::new(c), id, out))
    })?;
    Ok(())
}

fn define_metric(call: &mut Call<'_>, kind: u32, (at, len): (u32, u32), out: u32) -> Outcome {
    let name = call.read_text(at, len)?;
    let id = call.host().world.borrow_mut().metrics.define(kind, &name)?;
    call.write_u32(out, id)
}

fn get_metric(call: &mut Call<'_>, id: u32, out: u32) -> Outcome {
    let value = call.host().world.borrow_mut().metrics.get(id)?;
    call.write(out, &value.to_le_bytes())
}

/// A call that would have to lie is fatal, so that no test passes because of it.
fn unmodelled(name: &str) -> wasmtime::Result<i32> {
    Err(wasmtime::Error::msg(format!("host-mock: {name} is not modelled")))
}

fn link_unmodelled(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap("env", "proxy_done", || unmodelled("proxy_done"))?;
    l.func_wrap("env", "proxy_get_status", |_: u32, _: u32, _: u32| {
        unmodelled("proxy_get_status")
    })?;
    l.func_wrap("env", "proxy_grpc_cancel", |_: u32| unmodelled("proxy_grpc_cancel"))?;
    l.func_wrap("env", "proxy_grpc_close", |_: u32| unmodelled("proxy_grpc_close"))?;
    l.func_wrap("env", "proxy_grpc_send", |_: u32, _: u32, _: u32, _: u32| {
        unmodelled("proxy_grpc_send")
    })?;
    l.func_new("env", "proxy_grpc_call", signature::<12>(l.engine()), |_, _, _| {
        unmodelled("proxy_grpc_call").map(drop)
    })?;
    l.func_new("env", "proxy_grpc_stream", signature::<9>(l.engine()), |_, _, _| {
        unmodelled("proxy_grpc_stream").map(drop)
    })?;
    Ok(())
}

fn signature<const PARAMS: usize>(engine: &wasmtime::Engine) -> wasmtime::FuncType {
    let params = std::iter::repeat_n(wasmtime::ValType::I32, PARAMS);
    wasmtime::FuncType::new(engine, params, [wasmtime::ValType::I32])
}
