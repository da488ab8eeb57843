//! A host call: its arguments in the VM's memory, and the count of calls across the border.

use super::host::{Fault, Host, Outcome};
use crate::status::Status;
use wasmtime::{Caller, Memory};

/// A range of a VM's memory, as a host call names it.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    at: u32,
    len: u32,
}

impl Slice {
    pub(super) const fn new(at: u32, len: u32) -> Self {
        Self { at, len }
    }
}

/// Two places in a VM's memory, which get the address and the size of returned bytes.
#[derive(Clone, Copy)]
pub(super) struct Out {
    ptr_at: u32,
    size_at: u32,
}

impl Out {
    pub(super) const fn new(ptr_at: u32, size_at: u32) -> Self {
        Self { ptr_at, size_at }
    }
}

/// A host call with access to the VM's memory.
pub(super) struct Call<'a> {
    caller: Caller<'a, Host>,
}

impl<'a> Call<'a> {
    pub(super) fn new(caller: Caller<'a, Host>) -> Self {
        caller.data().called();
        Self { caller }
    }

    pub(super) fn host(&self) -> &Host {
        self.caller.data()
    }

    fn memory(&self) -> Result<Memory, Fault> {
        self.host().memory.ok_or(Fault::Status(Status::InvalidMemoryAccess))
    }

    pub(super) fn read(&self, slice: Slice) -> Result<Vec<u8>, Fault> {
        let range = usize::try_from(slice.at).ok().zip(usize::try_from(slice.len).ok());
        let (start, len) = range.ok_or(Status::InvalidMemoryAccess)?;
        let data = self.memory()?.data(&self.caller);
        let bytes = start.checked_add(len).and_then(|end| data.get(start..end));
        Ok(bytes.ok_or(Status::InvalidMemoryAccess)?.to_vec())
    }

    pub(super) fn read_text(&self, slice: Slice) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(&self.read(slice)?).into_owned())
    }

    pub(super) fn write(&mut self, ptr: u32, bytes: &[u8]) -> Outcome {
        let start = usize::try_from(ptr).map_err(|_| Status::InvalidMemoryAccess)?;
        let memory = self.memory()?;
        memory
            .write(&mut self.caller, start, bytes)
            .map_err(|_| Fault::Status(Status::InvalidMemoryAccess))
    }

    pub(super) fn write_u32(&mut self, ptr: u32, value: u32) -> Outcome {
        self.write(ptr, &value.to_le_bytes())
    }

    /// Copies `bytes` into memory that the VM allocates, and writes address and size to `out`. Nothing
    /// is allocated for no bytes: the VM then sees a null pointer.
    pub(super) fn give(&mut self, bytes: &[u8], out: Out) -> Outcome {
        let size = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let mut at = 0;
        if size > 0 {
            self.host().world.borrow_mut().crossings.allocations += 1;
            let allocate = self.host().allocate.ok_or(Status::InvalidMemoryAccess)?;
            let allocate = allocate.typed::<u32, u32>(&self.caller).map_err(Fault::Trap)?;
            at = allocate.call(&mut self.caller, size).map_err(Fault::Trap)?;
            self.write(at, bytes)?;
        }
        self.write_u32(out.ptr_at, at)?;
        self.write_u32(out.size_at, size)
    }
}
