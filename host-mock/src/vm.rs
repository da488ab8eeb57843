//! A VM: an instance of the module on one worker, and the calls into it.

use crate::{
    abi::{self, Host},
    exchange::VmKey,
    module::{FUEL_PER_CALL, Module},
    plugin::Plugin,
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

    pub(crate) fn memory_bytes(&self) -> usize {
        let guest = self.guest.borrow();
        let (store, _) = &*guest;
        store.data().memory().map_or(0, |memory| memory.data_size(store))
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

    /// Returns the root context of a plugin; `None` if there is none, or one that was told that it is done.
    pub(crate) fn root_of(&self, plugin: &Rc<Plugin>) -> Option<u32> {
        let is_root = |_: u32, root: &Rc<Plugin>| Rc::ptr_eq(root, plugin);
        self.roots(is_root).first().map(|(id, _)| *id)
    }

    /// Returns the plugin with this name and configuration that has a root context here.
    pub(crate) fn plugin_like(&self, plugin: &Plugin) -> Option<Rc<Plugin>> {
        let is_like =
            |_: u32, root: &Rc<Plugin>| root.name == plugin.name && root.config == plugin.config;
        self.roots(is_like).pop().map(|(_, plugin)| plugin)
    }

    /// Returns the root contexts without streams of plugins that are not among these.
    pub(crate) fn idle_roots(&self, plugins: &[Rc<Plugin>]) -> Vec<u32> {
        let is_used = |id: u32| {
            let state = self.state.borrow();
            let has = |it: &Context| matches!(it, Context::Stream { root, .. } if *root == id);
            state.contexts.values().any(has)
        };
        let is_known = |root: &Rc<Plugin>| plugins.iter().any(|plugin| Rc::ptr_eq(plugin, root));
        let is_idle = |id: u32, root: &Rc<Plugin>| !is_known(root) && !is_used(id);
        self.roots(is_idle).into_iter().map(|(id, _)| id).collect()
    }

    /// Forgets a root context that was deleted.
    pub(crate) fn forget_root(&self, root: u32) {
        let mut state = self.state.borrow_mut();
        state.contexts.remove(&root);
        state.ticks.remove(&root);
    }

    fn roots(&self, wanted: impl Fn(u32, &Rc<Plugin>) -> bool) -> Vec<(u32, Rc<Plugin>)> {
        let state = self.state.borrow();
        let roots = state.contexts.iter().filter_map(|(id, context)| match context {
            Context::Root(plugin) => Some((*id, plugin.clone())),
            Context::Stream { .. } => None,
        });
        roots.filter(|(id, plugin)| !state.done.contains(id) && wanted(*id, plugin)).collect()
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
