//! Calls that a module may import but that this host doesn't model. They kill the VM and name
//! themselves, so that no test passes because of a host that lied.

use super::host::Host;
use wasmtime::Linker;

fn unmodelled(name: &str) -> wasmtime::Result<i32> {
    Err(wasmtime::Error::msg(format!("host-mock: {name} is not modelled")))
}

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
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
