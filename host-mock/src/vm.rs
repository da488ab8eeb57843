//! A VM: an instance of the module on one worker, and the calls into it.

use crate::{
    abi::{self, Host},
    exchange::VmKey,
    module::{FUEL_PER_CALL, Module},
    vm_state::{Context, VmState},
    world::{Level, WorldRef},
};
use std::{cell::RefCell, rc::Rc};
use wasmtime::{Instance, Linker, Store};

/// An instance of the module with its state.
pub(crate) struct Vm {
    pub(crate) state: Rc<RefCell<VmState>>,
    /// Time of its start, in nanoseconds since the Unix epoch.
    pub(crate) born_nanos: u64,
    guest: RefCell<(Store<Host>, Instance)>,
    world: WorldRef,
}

/// Outcome of a callback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Returned {
    /// Value that the callback returned; `None` when the module has no such callback, or died in
    /// it.
    pub(crate) value: Option<u32>,
    /// True if a local reply was sent to any stream during the callback.
    pub(crate) stopped: bool,
}

impl Returned {
    /// Outcome of a callback that did not run or did not return.
    pub(crate) const NOTHING: Self = Self { value: None, stopped: false };
}

impl Vm {
    /// Instantiates the module and runs its `_initialize`.
    pub(crate) fn new(module: &Module, world: &WorldRef, key: VmKey) -> anyhow::Result<Self> {
        let engine = module.compiled.engine();
        let state = Rc::new(RefCell::new(VmState { key, ..VmState::default() }));
        let mut store = Store::new(engine, Host::new(world.clone(), state.clone()));
        store.set_fuel(FUEL_PER_CALL)?;
        let mut linker = Linker::new(engine);
        abi::link(&mut linker)?;
        abi::check(module, &mut linker, &mut store)?;
        let instance = linker.instantiate(&mut store, &module.compiled)?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = ["proxy_on_memory_allocate", "malloc"]
            .into_iter()
            .find_map(|name| instance.get_func(&mut store, name));
        store.data_mut().bind(memory, allocate);
        let vm = Self {
            state,
            born_nanos: world.borrow().now_nanos,
            guest: RefCell::new((store, instance)),
            world: world.clone(),
        };
        for start in ["_initialize", "_start"] {
            if vm.call(start, 0, &[]).value.is_some() {
                break;
            }
        }
        Ok(vm)
    }

    pub(crate) fn key(&self) -> VmKey {
        self.state.borrow().key
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.borrow().failure.is_some()
    }

    /// Declares the VM dead. Its contexts get no more callbacks, not even `on_delete`.
    pub(crate) fn fail(&self, why: &str) {
        let mut state = self.state.borrow_mut();
        if state.failure.is_none() {
            let worker = state.key.worker;
            state.failure = Some(why.to_owned());
            self.world.borrow_mut().log(worker, Level::Critical, format!("VM died: {why}"));
        }
        state.deferred.clear();
        state.ticks.clear();
    }

    /// Calls an exported function with `context` as the current one. A trap kills the VM.
    pub(crate) fn call(&self, name: &str, context: u32, args: &[u32]) -> Returned {
        if self.is_dead() {
            return Returned::NOTHING;
        }
        let mut guest = self.guest.borrow_mut();
        let (store, instance) = &mut *guest;
        let Some(function) = instance.get_func(&mut *store, name) else { return Returned::NOTHING };
        store.data_mut().enter(context);
        match invoke(store, function, args) {
            Ok(value) => {
                let stopped = std::mem::take(&mut self.state.borrow_mut().stop_iteration);
                Returned { value: Some(value), stopped }
            }
            Err(error) => {
                drop(guest);
                self.fail(&format!("{name}: {error:?}"));
                Returned::NOTHING
            }
        }
    }

    pub(crate) fn new_context(&self, context: Context) -> u32 {
        let mut state = self.state.borrow_mut();
        state.last_context += 1;
        let id = state.last_context;
        state.contexts.insert(id, context);
        id
    }
}

fn invoke(
    store: &mut Store<Host>,
    function: wasmtime::Func,
    args: &[u32],
) -> wasmtime::Result<u32> {
    store.set_fuel(FUEL_PER_CALL)?;
    let args: Vec<_> = args.iter().map(|v| wasmtime::Val::I32(v.cast_signed())).collect();
    let mut results = vec![wasmtime::Val::I32(0); function.ty(&mut *store).results().len()];
    let outcome = function.call(&mut *store, &args, &mut results);
    let left = store.get_fuel()?;
    store.data().executed(FUEL_PER_CALL.saturating_sub(left));
    outcome?;
    Ok(results.first().and_then(wasmtime::Val::i32).unwrap_or(0).cast_unsigned())
}
