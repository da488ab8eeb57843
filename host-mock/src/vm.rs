//! One VM: an instance of the module on one worker, and the calls into it.

use crate::{
    abi::{self, Host},
    exchange::{ExchangeRef, LocalReply},
    module::{FUEL_PER_CALL, Module},
    plugin::Plugin,
    world::{Level, WorldRef},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};
use wasmtime::{Instance, Linker, Store};

/// What a context id of a VM stands for.
#[derive(Clone)]
pub(crate) enum Context {
    Root(Rc<Plugin>),
    Stream { stream: ExchangeRef, root: u32 },
}

/// What a host call asked for, done when the present VM call has returned.
pub(crate) enum Deferred {
    Continue(ExchangeRef, crate::exchange::Side),
    Reply(ExchangeRef, LocalReply),
    Close(ExchangeRef),
}

/// A root context's tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) period_nanos: u64,
    pub(crate) due_nanos: u64,
}

/// The state of a VM that is not in its memory.
#[derive(Default)]
pub(crate) struct VmState {
    pub(crate) worker: usize,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) last_context: u32,
    pub(crate) ticks: BTreeMap<u32, Tick>,
    pub(crate) deferred: VecDeque<Deferred>,
    /// Set by any local reply; what the present callback returns then becomes a stop.
    pub(crate) stop_iteration: bool,
    /// The answer that `on_http_call_response` may read.
    pub(crate) call_answer: Option<crate::exchange::Response>,
    /// Which configuration `get_buffer` shows, during on_configure.
    pub(crate) configuring: Option<Rc<Plugin>>,
    pub(crate) failure: Option<String>,
}

/// An instance of the module with its state.
pub(crate) struct Vm {
    pub(crate) state: Rc<RefCell<VmState>>,
    /// When it was started.
    pub(crate) born_nanos: u64,
    guest: RefCell<(Store<Host>, Instance)>,
    world: WorldRef,
}

/// What a callback returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Returned {
    /// `None` when the module has no such callback, or died in it.
    pub(crate) value: Option<u32>,
    /// A local reply was sent to any stream during the callback.
    pub(crate) stopped: bool,
}

impl Vm {
    /// Instantiates the module; `_initialize` has run.
    pub(crate) fn new(module: &Module, world: &WorldRef, worker: usize) -> anyhow::Result<Self> {
        let engine = module.compiled.engine();
        let state = Rc::new(RefCell::new(VmState { worker, ..VmState::default() }));
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
        let (born_nanos, guest) = (world.borrow().now_nanos, RefCell::new((store, instance)));
        let vm = Self { state, born_nanos, guest, world: world.clone() };
        for start in ["_initialize", "_start"] {
            if vm.call(start, 0, &[]).value.is_some() {
                break;
            }
        }
        Ok(vm)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.borrow().failure.is_some()
    }

    /// Declares the VM dead. Its contexts get no more callbacks, not even `on_delete`.
    pub(crate) fn fail(&self, why: &str) {
        let mut state = self.state.borrow_mut();
        if state.failure.is_none() {
            let worker = state.worker;
            state.failure = Some(why.to_owned());
            self.world.borrow_mut().log(worker, Level::Critical, format!("VM died: {why}"));
        }
        state.deferred.clear();
        state.ticks.clear();
    }

    /// Calls an exported function with `context` as the current one. A trap kills the VM.
    pub(crate) fn call(&self, name: &str, context: u32, args: &[u32]) -> Returned {
        let none = Returned { value: None, stopped: false };
        if self.is_dead() {
            return none;
        }
        let mut guest = self.guest.borrow_mut();
        let (store, instance) = &mut *guest;
        let Some(function) = instance.get_func(&mut *store, name) else { return none };
        store.data_mut().enter(context);
        match invoke(store, function, args) {
            Ok(value) => {
                let stopped = std::mem::take(&mut self.state.borrow_mut().stop_iteration);
                Returned { value: Some(value), stopped }
            }
            Err(error) => {
                drop(guest);
                self.fail(&format!("{name}: {error:?}"));
                none
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
