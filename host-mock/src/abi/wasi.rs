//! The part of WASI that Envoy gives to plugins.

use super::{
    call::{Call, Slice},
    host::{Fault, Host, Outcome},
};
use crate::{status::Status, world::Level};
use wasmtime::{Caller, Linker};

const MODULE: &str = "wasi_snapshot_preview1";

/// WASI error numbers.
const BADF: i32 = 8;
const FAULT: i32 = 21;
const NOSYS: i32 = 52;
const NOTSUP: i32 = 58;

/// WASI clocks.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// The scattered buffers of a write: `count` pairs of address and length, the first at `at`.
#[derive(Clone, Copy)]
struct Vectors {
    at: u32,
    count: u32,
}

fn errno(outcome: Outcome) -> wasmtime::Result<i32> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Fault::Status(Status::NotFound)) => Ok(BADF),
        Err(Fault::Status(_)) => Ok(FAULT),
        Err(Fault::Trap(error)) => Err(error),
    }
}

pub(super) fn link(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap(MODULE, "fd_write", |c: Caller<'_, Host>, fd, vectors, count, out| {
        errno(fd_write(&mut Call::new(c), fd, Vectors { at: vectors, count }, out))
    })?;
    l.func_wrap(MODULE, "clock_time_get", |c: Caller<'_, Host>, clock: u32, _: u64, out: u32| {
        let mut call = Call::new(c);
        let now = match clock {
            REALTIME => call.host().world.borrow().wall_nanos(),
            MONOTONIC => call.host().world.borrow().now_nanos,
            // Clocks of a process or a thread, which Envoy does not offer.
            _ => return Ok(NOTSUP),
        };
        errno(call.write(out, &now.to_le_bytes()))
    })?;
    l.func_wrap(MODULE, "random_get", |c: Caller<'_, Host>, at: u32, len: u32| {
        let mut call = Call::new(c);
        let bytes = call.host().world.borrow_mut().rng.fill(usize::try_from(len)?);
        errno(call.write(at, &bytes))
    })?;
    l.func_wrap(MODULE, "environ_sizes_get", |c: Caller<'_, Host>, count: u32, size: u32| {
        errno(environ_sizes_get(&mut Call::new(c), count, size))
    })?;
    l.func_wrap(MODULE, "environ_get", |c: Caller<'_, Host>, pointers: u32, at: u32| {
        errno(environ_get(&mut Call::new(c), pointers, at))
    })?;
    l.func_wrap(MODULE, "args_sizes_get", |c: Caller<'_, Host>, count: u32, size: u32| {
        let mut call = Call::new(c);
        errno(call.write_u32(count, 0).and_then(|()| call.write_u32(size, 0)))
    })?;
    l.func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the plugin called proc_exit({code})")))
    })?;
    link_refused(l)
}

/// Links the functions that Envoy answers with an error: there are no files.
fn link_refused(l: &mut Linker<Host>) -> wasmtime::Result<()> {
    l.func_wrap(MODULE, "args_get", |_: u32, _: u32| 0)?;
    l.func_wrap(MODULE, "sched_yield", || 0)?;
    l.func_wrap(MODULE, "fd_close", |_: u32| NOSYS)?;
    l.func_wrap(MODULE, "fd_read", |_: u32, _: u32, _: u32, _: u32| NOSYS)?;
    l.func_wrap(MODULE, "fd_seek", |_: u32, _: i64, _: u32, _: u32| NOSYS)?;
    l.func_wrap(MODULE, "fd_fdstat_get", |_: u32, _: u32| NOSYS)?;
    l.func_wrap(MODULE, "fd_fdstat_set_flags", |_: u32, _: u32| NOSYS)?;
    l.func_wrap(MODULE, "fd_prestat_get", |_: u32, _: u32| BADF)?;
    l.func_wrap(MODULE, "fd_prestat_dir_name", |_: u32, _: u32, _: u32| NOSYS)?;
    l.func_wrap(MODULE, "fd_filestat_get", |_: u32, _: u32| NOSYS)?;
    l.func_wrap(MODULE, "poll_oneoff", |_: u32, _: u32, _: u32, _: u32| NOSYS)?;
    Ok(())
}

fn fd_write(call: &mut Call<'_>, fd: u32, vectors: Vectors, written_at: u32) -> Outcome {
    let level = match fd {
        STDOUT => Level::Debug,
        STDERR => Level::Error,
        _ => return Err(Status::NotFound.into()),
    };
    let mut text = Vec::new();
    for vector in 0..vectors.count {
        let at = vectors.at.wrapping_add(vector.wrapping_mul(8));
        let part = Slice::new(number(call, at)?, number(call, at.wrapping_add(4))?);
        text.extend(call.read(part)?);
    }
    let host = call.host();
    let message = String::from_utf8_lossy(&text).trim_end().to_owned();
    host.world.borrow_mut().log(host.worker(), level, message);
    call.write_u32(written_at, size(text.len())?)
}

fn number(call: &Call<'_>, at: u32) -> Result<u32, Fault> {
    let bytes = call.read(Slice::new(at, 4))?;
    Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Status::InvalidMemoryAccess)?))
}

fn size(len: usize) -> Result<u32, Fault> {
    u32::try_from(len).map_err(|_| Fault::Status(Status::BadArgument))
}

/// Returns the environment as `NAME=value`, each with a NUL behind it.
fn environ(call: &Call<'_>) -> Vec<Vec<u8>> {
    let world = call.host().world.borrow();
    world.env.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn environ_sizes_get(call: &mut Call<'_>, count_at: u32, size_at: u32) -> Outcome {
    let entries = environ(call);
    call.write_u32(count_at, size(entries.len())?)?;
    call.write_u32(size_at, size(entries.iter().map(Vec::len).sum())?)
}

fn environ_get(call: &mut Call<'_>, mut pointers: u32, mut at: u32) -> Outcome {
    for entry in environ(call) {
        call.write_u32(pointers, at)?;
        call.write(at, &entry)?;
        pointers = pointers.wrapping_add(4);
        at = at.wrapping_add(size(entry.len())?);
    }
    Ok(())
}
