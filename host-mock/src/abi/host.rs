//! The host side of one VM: what its host functions work on, and how they can fail.

use crate::{
    exchange::ExchangeRef,
    status::Status,
    vm_state::{Context, VmState},
    world::WorldRef,
};
use std::{cell::RefCell, rc::Rc};
use wasmtime::{Func, Memory};

/// Reason that a host call did not succeed.
pub(super) enum Fault {
    /// The plugin gets this status.
    Status(Status),
    /// The VM dies of this error.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Result of a host call.
pub(super) type Outcome = Result<(), Fault>;

/// Turns an outcome into the number that goes back into the VM.
pub(super) fn finish(outcome: Outcome) -> wasmtime::Result<i32> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Fault::Status(status)) => Ok(status as i32),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// State that a VM's host functions work on.
pub(crate) struct Host {
    pub(super) world: WorldRef,
    pub(super) vm: Rc<RefCell<VmState>>,
    /// Id of the context that is called back.
    current: u32,
    /// Id that `proxy_set_effective_context` chose, until the callback returns; 0 for none.
    pub(super) effective: u32,
    pub(super) memory: Option<Memory>,
    pub(super) allocate: Option<Func>,
}

impl Host {
    pub(crate) const fn new(world: WorldRef, vm: Rc<RefCell<VmState>>) -> Self {
        Self { world, vm, current: 0, effective: 0, memory: None, allocate: None }
    }

    pub(crate) const fn memory(&self) -> Option<Memory> {
        self.memory
    }

    /// Notes the instance's memory and its allocator, which exist only once the module is linked.
    pub(crate) fn bind(&mut self, memory: Option<Memory>, allocate: Option<Func>) {
        (self.memory, self.allocate) = (memory, allocate);
    }

    /// Makes `context` the current one for a callback, and counts the callback.
    pub(crate) fn enter(&mut self, context: u32) {
        (self.current, self.effective) = (context, 0);
        self.world.borrow_mut().crossings.callbacks += 1;
    }

    /// Counts the instructions that the VM executed in a callback.
    pub(crate) fn executed(&self, instructions: u64) {
        self.world.borrow_mut().crossings.instructions += instructions;
    }

    /// Counts a host call.
    pub(super) fn called(&self) -> &Self {
        self.world.borrow_mut().crossings.calls += 1;
        self
    }

    pub(super) fn worker(&self) -> usize {
        self.vm.borrow().key.worker
    }

    /// Returns the effective context's id; the current one's if the effective context is gone.
    pub(super) fn context_id(&self) -> u32 {
        let known = self.vm.borrow().contexts.contains_key(&self.effective);
        if self.effective != 0 && known { self.effective } else { self.current }
    }

    pub(super) fn context(&self) -> Option<Context> {
        self.vm.borrow().contexts.get(&self.context_id()).cloned()
    }

    /// Returns the root of the effective context, or that context if it is a root itself.
    pub(super) fn root_id(&self) -> u32 {
        match self.context() {
            Some(Context::Stream { root, .. }) => root,
            Some(Context::Root(_)) | None => self.context_id(),
        }
    }

    /// Returns the effective context's stream; `None` for a root context.
    pub(super) fn stream(&self) -> Option<ExchangeRef> {
        match self.context() {
            Some(Context::Stream { stream, .. }) => Some(stream),
            Some(Context::Root(_)) | None => None,
        }
    }
}
