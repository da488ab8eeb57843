//! A worker thread, the place where requests arrive.

use crate::{
    HeaderMap, Stream,
    machine::{MachineRef, VmSlot},
    plugin::Plugin,
};
use std::rc::Rc;

/// A worker (or the main thread) with its VM, and the listener that requests come in by.
pub struct Worker {
    machine: MachineRef,
    vm: VmSlot,
    plugin: Rc<Plugin>,
}

impl Worker {
    pub(crate) const fn new(machine: MachineRef, vm: VmSlot, plugin: Rc<Plugin>) -> Self {
        Self { machine, vm, plugin }
    }

    /// Sends requests through the plugin called `name` instead of the first one.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub fn through(mut self, name: &str) -> anyhow::Result<Self> {
        let plugins = self.machine.borrow().plugins.clone();
        let names: Vec<_> = plugins.iter().map(|plugin| plugin.name.clone()).collect();
        let found = plugins.into_iter().find(|plugin| plugin.name == name);
        self.plugin =
            found.ok_or_else(|| anyhow::anyhow!("no plugin {name:?}; this Envoy has {names:?}"))?;
        Ok(self)
    }

    /// Sends a request without a body. Pseudo headers that aren't given are added.
    pub fn get(&self, path: &str, headers: impl Into<HeaderMap>) -> Stream {
        self.open("GET", path, headers.into(), true)
    }

    /// Sends a whole request with a body that arrives in one piece.
    pub fn post(&self, path: &str, headers: impl Into<HeaderMap>, body: &[u8]) -> Stream {
        let stream = self.post_headers(path, headers);
        stream.chunk(body);
        stream.end();
        stream
    }

    /// Sends the headers of a request; its body is still to come.
    pub fn post_headers(&self, path: &str, headers: impl Into<HeaderMap>) -> Stream {
        self.open("POST", path, headers.into(), false)
    }

    /// Sends exactly these headers as a request. Its body is still to come: see [`Stream::end`].
    pub fn request(&self, headers: impl Into<HeaderMap>) -> Stream {
        self.arrive(headers.into(), false)
    }

    /// True if the VM can still be called.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.failure().is_none()
    }

    /// Returns the reason of the VM's death; `None` while it lives.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.vm.borrow().state.borrow().failure.clone()
    }

    /// Returns the bytes of the VM's memory, which never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.vm.borrow().memory_bytes()
    }

    /// Kills the VM as a panic of the plugin does.
    pub fn kill(&self) {
        self.vm.borrow().fail("killed by the test");
    }

    fn open(&self, method: &str, path: &str, mut headers: HeaderMap, end: bool) -> Stream {
        let defaults =
            [(":method", method), (":path", path), (":authority", "test"), (":scheme", "http")];
        for (name, value) in defaults {
            if headers.get(name).is_none() {
                headers.add(name, value);
            }
        }
        self.arrive(headers, end)
    }

    fn arrive(&self, headers: HeaderMap, end: bool) -> Stream {
        let mut machine = self.machine.borrow_mut();
        let exchange = machine.request(&self.vm, &self.plugin, headers, end);
        drop(machine);
        Stream::new(self.machine.clone(), exchange)
    }
}
