//! The beginnings of VMs and of their contexts.

use super::{Frame, Machine, Options, Part, VmSlot};
use crate::{
    exchange::{Direction, Exchange, ExchangeRef, Phase, Side, VmKey},
    headers::HeaderMap,
    module::Module,
    plugin::{FailPolicy, Plugin},
    vm::Vm,
    vm_state::Context,
    world::WorldRef,
};
use std::{cell::RefCell, rc::Rc};

/// Age from which on a dead VM is replaced: the default of Envoy's `reload_config`, without its
/// jitter of up to another half second.
const RELOAD_BACKOFF_NANOS: u64 = 1_000_000_000;

impl Machine {
    /// Starts a VM per worker and one on the main thread, and configures every plugin in each.
    pub(crate) fn start(
        module: &Module,
        world: WorldRef,
        plugins: Vec<Plugin>,
        options: Options,
    ) -> anyhow::Result<Self> {
        let mut machine = Self {
            world,
            plugins: plugins.into_iter().map(Rc::new).collect(),
            vms: Vec::new(),
            module: module.clone(),
            options,
            open: Vec::new(),
            stack: Vec::new(),
        };
        // Envoy starts the main thread's VM first.
        let workers = machine.options.workers;
        let main = machine.start_vm(VmKey { worker: workers, generation: 0 })?;
        for worker in 0..workers {
            let vm = machine.start_vm(VmKey { worker, generation: 0 })?;
            machine.vms.push(VmSlot::new(vm.into()));
        }
        machine.vms.push(VmSlot::new(main.into()));
        Ok(machine)
    }

    fn start_vm(&mut self, key: VmKey) -> anyhow::Result<Rc<Vm>> {
        let vm = Rc::new(Vm::new(&self.module, &self.world, key)?);
        for plugin in self.plugins.clone() {
            self.ensure_configured(&vm, &plugin)?;
        }
        Ok(vm)
    }

    /// Replaces the plugin of that name. A VM that still has a root context of the same configuration takes that up
    /// again without a callback, as Envoy does; in the others that live a new one is configured.
    pub(crate) fn reconfigure(&mut self, plugin: Plugin) -> anyhow::Result<()> {
        let vms: Vec<Rc<Vm>> = self.vms.iter().map(|slot| slot.borrow().clone()).collect();
        let vms: Vec<Rc<Vm>> = vms.into_iter().filter(|vm| !vm.is_dead()).collect();
        let known = vms.iter().find_map(|vm| vm.plugin_like(&plugin));
        let plugin = known.unwrap_or_else(|| Rc::new(plugin));
        let named = |old: &&mut Rc<Plugin>| old.name == plugin.name;
        let old = self.plugins.iter_mut().find(named);
        *old.ok_or_else(|| anyhow::anyhow!("no plugin {:?}", plugin.name))? = plugin.clone();
        let without = vms.iter().filter(|vm| vm.root_of(&plugin).is_none());
        without.into_iter().try_for_each(|vm| self.ensure_configured(vm, &plugin))
    }

    /// Takes the plugin of that name out of the configuration.
    pub(crate) fn remove(&mut self, name: &str) {
        self.plugins.retain(|plugin| plugin.name != name);
    }

    /// Ends the root contexts of earlier configurations that have no stream, as Envoy does once their listener has
    /// drained or their filter was discovered anew.
    pub(crate) fn end_old_instances(&mut self) {
        let vms: Vec<Rc<Vm>> = self.vms.iter().map(|slot| slot.borrow().clone()).collect();
        for vm in vms.iter().filter(|vm| !vm.is_dead()) {
            for root in vm.idle_roots(&self.plugins) {
                let done = vm.call("proxy_on_done", root, &[root]);
                if done.value == Some(0) {
                    vm.state.borrow_mut().done.insert(root);
                } else {
                    vm.call("proxy_on_delete", root, &[root]);
                    vm.forget_root(root);
                }
                self.stack.push(Frame::Drain(vm.clone()));
                self.run();
            }
        }
    }

    fn ensure_configured(&mut self, vm: &Rc<Vm>, plugin: &Rc<Plugin>) -> anyhow::Result<()> {
        let configured = self.configure(vm, plugin);
        if let Some(failure) = vm.state.borrow().failure.clone() {
            anyhow::bail!("plugin {:?}: {failure}", plugin.name);
        }
        configured.map_err(|callback| {
            let logs = &self.world.borrow().logs;
            let last = logs.last().map_or("nothing", |line| line.message.as_str());
            let name = &plugin.name;
            anyhow::anyhow!("plugin {name:?}: {callback} returned false; last log: {last}")
        })
    }

    /// Configures a plugin in a VM. On refusal, returns the name of the callback that refused.
    fn configure(&mut self, vm: &Rc<Vm>, plugin: &Rc<Plugin>) -> Result<(), &'static str> {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let root = vm.new_context(Context::Root(plugin.clone()));
        vm.call("proxy_on_context_create", root, &[root, 0]);
        let vm_config = size(&self.world.borrow().vm_config);
        self.root_call(vm, "proxy_on_vm_start", &[root, vm_config])?;
        vm.state.borrow_mut().configuring = Some(plugin.clone());
        let configured = self.root_call(vm, "proxy_on_configure", &[root, size(&plugin.config)]);
        vm.state.borrow_mut().configuring = None;
        configured
    }

    fn root_call(
        &mut self,
        vm: &Rc<Vm>,
        name: &'static str,
        args: &[u32],
    ) -> Result<(), &'static str> {
        let root = args.first().copied().unwrap_or(0);
        let returned = vm.call(name, root, args);
        self.stack.push(Frame::Drain(vm.clone()));
        self.run();
        if returned.value == Some(0) { Err(name) } else { Ok(()) }
    }

    /// Opens a new request on a worker.
    pub(crate) fn request(
        &mut self,
        worker: &VmSlot,
        plugin: &Rc<Plugin>,
        headers: HeaderMap,
        end: bool,
    ) -> ExchangeRef {
        let vm = self.live_vm(worker, plugin);
        let now = self.world.borrow().now_nanos;
        let stream = Rc::new(RefCell::new(Exchange {
            vm: vm.key(),
            plugin: plugin.clone(),
            context: 0,
            phase: Phase::Open,
            request: Direction::new(headers, end),
            response: Direction::default(),
            held: Vec::new(),
            upstream: None,
            upstream_address: None,
            client: None,
            reset: false,
            details: None,
            flags: 0,
            filter_state: Default::default(),
            properties: Default::default(),
            preset: Default::default(),
            route_cache_clears: 0,
            started_nanos: now,
            idle_at: now.saturating_add(self.options.idle_timeout_nanos),
        }));
        self.open.push(stream.clone());
        self.stack.push(Frame::Arrive(stream.clone(), Side::Request, Part::Headers { end }));
        self.stack.push(Frame::Create(stream.clone()));
        self.run();
        stream
    }

    /// Returns the worker's VM; a dead one is replaced if the plugin's policy says so.
    fn live_vm(&mut self, worker: &VmSlot, plugin: &Plugin) -> Rc<Vm> {
        let vm = worker.borrow().clone();
        let key = vm.key();
        let next = VmKey { generation: key.generation.saturating_add(1), ..key };
        let age = self.world.borrow().now_nanos.saturating_sub(vm.born_nanos);
        if vm.is_dead()
            && age >= RELOAD_BACKOFF_NANOS
            && plugin.fail_policy == FailPolicy::Reload
            && let Ok(new) = self.start_vm(next)
        {
            worker.replace(new.clone());
            return new;
        }
        vm
    }

    pub(super) fn create(&mut self, stream: &ExchangeRef) {
        let plugin = stream.borrow().plugin.clone();
        let Some(vm) = self.vm_of(&stream.borrow()).filter(|vm| !vm.is_dead()) else { return };
        let Some(root) = vm.root_of(&plugin) else { return };
        let id = vm.new_context(Context::Stream { stream: stream.clone(), root });
        stream.borrow_mut().context = id;
        self.call(&vm, "proxy_on_context_create", id, &[id, root]);
        self.stack.push(Frame::Drain(vm));
    }
}
