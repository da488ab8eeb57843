//! The Envoy that a test drives.

mod builder;

pub use builder::Builder;

use crate::{
    HeaderMap, LogLine, Metric, Module, Plugin, Response, Worker,
    machine::{Machine, MachineRef, VmSlot},
    world::{Crossings, Level, WorldRef, calls::HttpCall, queues::Delivery},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// Number of wake-ups that one [`Envoy::pump`] runs at most: a plugin that answers each message
/// with another would otherwise hang the test.
const PUMP_MAX: usize = 100_000;

/// An Envoy: workers, their VMs and what they share. Time stands still unless [`Envoy::advance`]
/// moves it.
pub struct Envoy {
    machine: MachineRef,
    world: WorldRef,
    workers: Vec<VmSlot>,
    main: VmSlot,
    first: RefCell<Rc<Plugin>>,
}

impl Envoy {
    /// Starts to describe an Envoy that runs `module`.
    pub fn builder(module: &Module) -> Builder {
        Builder::new(module)
    }

    /// Returns a worker thread; an index beyond the last one wraps around.
    #[must_use]
    pub fn worker(&self, index: usize) -> Worker {
        // There is at least one worker, so the main thread's VM never stands in.
        let vm = self.workers.get(index % self.workers.len().max(1)).unwrap_or(&self.main);
        Worker::new(self.machine.clone(), vm.clone(), self.first.borrow().clone())
    }

    /// Returns the main thread, which is configured and ticks like a worker, but gets no requests.
    #[must_use]
    pub fn main_thread(&self) -> Worker {
        Worker::new(self.machine.clone(), self.main.clone(), self.first.borrow().clone())
    }

    /// Gives the plugin of that name another configuration, as an update from the control plane does:
    /// each VM configures a new root context, which gets the requests of a [`Worker`] that is asked for
    /// from now on. The old one keeps its streams and ticks on, as while Envoy drains the old listener,
    /// until [`Envoy::end_old_instances`]. A VM that still has one of this very configuration takes that up again.
    ///
    /// # Errors
    /// When there is no such plugin, or one of its new root contexts refuses the configuration.
    pub fn reconfigure(&self, plugin: Plugin) -> anyhow::Result<()> {
        let mut machine = self.machine.borrow_mut();
        machine.reconfigure(plugin)?;
        if let Some(first) = machine.plugins.first() {
            self.first.replace(first.clone());
        }
        Ok(())
    }

    /// Takes the plugin of that name out of the configuration. Its root contexts tick on until
    /// [`Envoy::end_old_instances`].
    pub fn remove(&self, name: &str) {
        self.machine.borrow_mut().remove(name);
    }

    /// Ends the root contexts of plugins that are no longer configured and that have no stream, as Envoy does when a
    /// listener has drained: each is told that it is done, and deleted unless it asks to stay.
    pub fn end_old_instances(&self) {
        self.machine.borrow_mut().end_old_instances();
    }

    /// Moves the clock on, firing ticks and idle time-outs at their time. Queue wake-ups stay
    /// pending, so a test can make them late.
    pub fn advance(&self, by: Duration) {
        self.advance_with(by, |_| {});
    }

    /// Moves the clock on as a healthy Envoy does: wake-ups run at once.
    pub fn run_for(&self, by: Duration) {
        self.pump();
        self.advance_with(by, |envoy| {
            envoy.pump();
        });
    }

    fn advance_with(&self, by: Duration, after_each: impl Fn(&Self)) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let until = self.world.borrow().now_nanos.saturating_add(by);
        while self.fire(until) {
            after_each(self);
        }
        self.world.borrow_mut().now_nanos = until;
    }

    fn fire(&self, until: u64) -> bool {
        self.machine.borrow_mut().fire_next(until)
    }

    /// Returns the time since the Unix epoch on the fake wall clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.world.borrow().wall_nanos())
    }

    /// Sets the wall clock to a time since the Unix epoch, as an operator or NTP does. The monotonic clock,
    /// by which Envoy's timers run, stays as it is. A time before the machine booted is taken for that of its boot.
    pub fn set_wall_clock(&self, since_epoch: Duration) {
        let mut world = self.world.borrow_mut();
        let wall = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        world.wall_ahead_nanos = wall.saturating_sub(world.now_nanos);
    }

    /// Lets time pass in which nothing runs, as while the process is stopped: all that is due by then
    /// comes late, when the clock moves on.
    pub fn stop_for(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.world.borrow_mut().now_nanos += by;
    }

    /// Returns the wake-ups that were posted and haven't run, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<Delivery> {
        self.world.borrow().queues.pending().iter().cloned().collect()
    }

    /// Runs wake-ups, oldest first, until none is left; returns how many ran. Stops at 100,000.
    pub fn pump(&self) -> usize {
        (0..PUMP_MAX).take_while(|_| self.deliver(0)).count()
    }

    /// Runs wake-ups in an order chosen by `seed` until none is left. Between two threads order is
    /// kept, as Envoy's dispatchers keep it; across pairs it isn't.
    pub fn pump_shuffled(&self, seed: u64) -> usize {
        let mut rng = crate::world::rng::Rng::new(seed);
        let mut one = || {
            let heads = self.world.borrow().queues.heads();
            let chosen = rng.position(heads.len()).and_then(|at| heads.get(at).copied());
            chosen.is_some_and(|position| self.deliver(position))
        };
        (0..PUMP_MAX).take_while(|_| one()).count()
    }

    /// Runs the wake-up at `position` of [`Envoy::pending`]; false when there is none.
    pub fn deliver(&self, position: usize) -> bool {
        let delivery = self.world.borrow_mut().queues.take(position);
        match delivery {
            Some(delivery) => {
                self.machine.borrow_mut().deliver(&delivery);
                true
            }
            None => false,
        }
    }

    /// Returns the value of the metric called `name`, if any VM defined it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<Metric> {
        self.world.borrow().metrics.named(name).cloned()
    }

    /// Returns all metrics by name.
    #[must_use]
    pub fn metrics(&self) -> Vec<(String, Metric)> {
        let world = self.world.borrow();
        world.metrics.all().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// Returns the lines that were logged so far, oldest first.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.world.borrow().logs.clone()
    }

    /// Has the host log from this level on, as its admin's /logging does. Plugins may ask; what they log below it is kept all
    /// the same.
    pub fn set_log_level(&self, level: Level) {
        self.world.borrow_mut().log_level = level;
    }

    /// Returns the VMs' work so far, and how often Envoy and they have called each other.
    #[must_use]
    pub fn crossings(&self) -> Crossings {
        self.world.borrow().crossings
    }

    /// Sets a property of all streams from now on, such as what a filter in front leaves with every request.
    pub fn set_property(&self, path: &str, value: impl Into<Vec<u8>>) {
        self.world.borrow_mut().properties.insert(path.to_owned(), value.into());
    }

    /// Returns a shared value, read past the plugins.
    #[must_use]
    pub fn shared_data(&self, key: &str) -> Option<Vec<u8>> {
        self.world.borrow().shared_data.get(key.as_bytes()).map(|(value, _)| value.clone())
    }

    /// Writes a shared value past the plugins, as another plugin of the same vm_id may.
    pub fn set_shared_data(&self, key: &str, value: &[u8]) {
        // Generation 0 is unconditional, so this can't fail.
        let _ = self.world.borrow_mut().shared_data.set(key.as_bytes(), value.to_vec(), 0);
    }

    /// Returns the HTTP calls of plugins that wait for an answer.
    #[must_use]
    pub fn http_calls(&self) -> Vec<HttpCall> {
        self.world.borrow().calls.waiting().to_vec()
    }

    /// Answers the HTTP call with this token.
    pub fn answer(&self, token: u32, status: u16, headers: impl Into<HeaderMap>, body: &[u8]) {
        let mut headers = headers.into();
        headers.set(":status", status.to_string());
        let body = body.to_vec();
        let answer = Response { status, headers, body, trailers: None, complete: true };
        self.machine.borrow_mut().answer(token, answer);
    }

    /// Breaks the connection of the HTTP call with this token: the plugin is called back with nothing
    /// to read.
    pub fn reset_call(&self, token: u32) {
        self.machine.borrow_mut().reset_call(token);
    }

    fn new(machine: Machine, world: WorldRef) -> Option<Self> {
        let mut workers = machine.vms.clone();
        let main = workers.pop()?;
        let first = machine.plugins.first()?.clone().into();
        Some(Self { machine: MachineRef::new(machine.into()), world, workers, main, first })
    }
}
