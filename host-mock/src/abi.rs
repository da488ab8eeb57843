//! The host functions of ABI 0.2.1, one file per area, and what they have in common.

mod buffer;
mod headers;
mod property;
mod shared;
mod stream;
mod telemetry;
mod time;
mod unmodelled;
mod wasi;

use crate::{
    exchange::ExchangeRef,
    module::Module,
    vm::{Context, VmState},
    world::WorldRef,
};
use std::{cell::RefCell, rc::Rc};
use wasmtime::{Caller, Func, Linker, Memory, Store};

/// Results of a host call, numbered as in the proxy-wasm specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
}

/// Why a host call didn't succeed.
pub(crate) enum Fault {
    /// The plugin is told.
    Status(Status),
    /// The VM dies.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(crate) type Outcome = Result<(), Fault>;

/// The number that goes back into the VM.
fn finish(outcome: Outcome) -> wasmtime::Result<i32> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Fault::Status(status)) => Ok(status as i32),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// What a VM's host functions work on.
pub(crate) struct Host {
    world: WorldRef,
    vm: Rc<RefCell<VmState>>,
    /// The context whose callback runs.
    current: u32,
    /// Set by `proxy_set_effective_context`, until the callback returns.
    effective: u32,
    memory: Option<Memory>,
    allocate: Option<Func>,
}

impl Host {
    pub(crate) const fn new(world: WorldRef, vm: Rc<RefCell<VmState>>) -> Self {
        Self { world, vm, current: 0, effective: 0, memory: None, allocate: None }
    }

    pub(crate) fn bind(&mut self, memory: Option<Memory>, allocate: Option<Func>) {
        (self.memory, self.allocate) = (memory, allocate);
    }

    pub(crate) fn enter(&mut self, context: u32) {
        (self.current, self.effective) = (context, 0);
        self.world.borrow_mut().crossings.callbacks += 1;
    }

    /// Counts what the VM did in a callback.
    pub(crate) fn executed(&self, instructions: u64) {
        self.world.borrow_mut().crossings.instructions += instructions;
    }

    /// Counts a host call.
    fn called(&self) -> &Self {
        self.world.borrow_mut().crossings.calls += 1;
        self
    }

    fn worker(&self) -> usize {
        self.vm.borrow().worker
    }

    /// The effective context's id; one that is gone falls back to the current one.
    fn context_id(&self) -> u32 {
        let known = self.vm.borrow().contexts.contains_key(&self.effective);
        if self.effective != 0 && known { self.effective } else { self.current }
    }

    fn context(&self) -> Option<Context> {
        self.vm.borrow().contexts.get(&self.context_id()).cloned()
    }

    fn root_id(&self) -> u32 {
        match self.context() {
            Some(Context::Stream { root, .. }) => root,
            Some(Context::Root(_)) | None => self.context_id(),
        }
    }

    fn stream(&self) -> Option<ExchangeRef> {
        match self.context() {
            Some(Context::Stream { stream, .. }) => Some(stream),
            Some(Context::Root(_)) | None => None,
        }
    }
}

/// A host call with access to the VM's memory.
struct Call<'a> {
    caller: Caller<'a, Host>,
}

impl<'a> Call<'a> {
    fn new(caller: Caller<'a, Host>) -> Self {
        caller.data().called();
        Self { caller }
    }

    fn host(&self) -> &Host {
        self.caller.data()
    }

    fn memory(&self) -> Result<Memory, Fault> {
        self.host().memory.ok_or(Fault::Status(Status::InvalidMemoryAccess))
    }

    fn read(&self, ptr: u32, len: u32) -> Result<Vec<u8>, Fault> {
        let range = usize::try_from(ptr).ok().zip(usize::try_from(len).ok());
        let (start, len) = range.ok_or(Status::InvalidMemoryAccess)?;
        let data = self.memory()?.data(&self.caller);
        let bytes = start.checked_add(len).and_then(|end| data.get(start..end));
        Ok(bytes.ok_or(Status::InvalidMemoryAccess)?.to_vec())
    }

    fn read_text(&self, ptr: u32, len: u32) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(&self.read(ptr, len)?).into_owned())
    }

    fn write(&mut self, ptr: u32, bytes: &[u8]) -> Outcome {
        let start = usize::try_from(ptr).map_err(|_| Status::InvalidMemoryAccess)?;
        let memory = self.memory()?;
        memory
            .write(&mut self.caller, start, bytes)
            .map_err(|_| Fault::Status(Status::InvalidMemoryAccess))
    }

    fn write_u32(&mut self, ptr: u32, value: u32) -> Outcome {
        self.write(ptr, &value.to_le_bytes())
    }

    /// Copies `bytes` into memory that the VM allocates, and tells it where. Nothing is allocated
    /// for no bytes: the VM then sees a null pointer.
    fn give(&mut self, bytes: &[u8], ptr_at: u32, size_at: u32) -> Outcome {
        let size = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let mut at = 0;
        if size > 0 {
            self.host().world.borrow_mut().crossings.allocations += 1;
            let allocate = self.host().allocate.ok_or(Status::InvalidMemoryAccess)?;
            let allocate = allocate.typed::<u32, u32>(&self.caller).map_err(Fault::Trap)?;
            at = allocate.call(&mut self.caller, size).map_err(Fault::Trap)?;
            self.write(at, bytes)?;
        }
        self.write_u32(ptr_at, at)?;
        self.write_u32(size_at, size)
    }
}

/// Defines every host function that this Envoy has.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    telemetry::link(linker)?;
    time::link(linker)?;
    unmodelled::link(linker)?;
    headers::link(linker)?;
    buffer::link(linker)?;
    stream::link(linker)?;
    property::link(linker)?;
    shared::link(linker)?;
    wasi::link(linker)
}

/// Refuses a module of another ABI, or one that wants what no Envoy has.
pub(crate) fn check(
    module: &Module,
    linker: &mut Linker<Host>,
    store: &mut Store<Host>,
) -> anyhow::Result<()> {
    let missing: Vec<_> = module
        .compiled
        .imports()
        .filter(|import| linker.get_by_import(&mut *store, import).is_none())
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    if !missing.is_empty() {
        anyhow::bail!("the module imports what the host doesn't have: {}", missing.join(", "));
    }
    let versions: Vec<_> = module
        .compiled
        .exports()
        .map(|export| export.name().to_owned())
        .filter(|name| name.starts_with("proxy_abi_version_"))
        .collect();
    match versions.as_slice() {
        [version] if version == "proxy_abi_version_0_2_1" => Ok(()),
        found => anyhow::bail!("the module exports {found:?}, not proxy_abi_version_0_2_1"),
    }
}
