//! The plugin instances of a VM that have one pool, and what becomes of the pool without any.

use std::rc::Rc;

/// A pool as one plugin instance is configured for it: what the VM needs of it where that instance is not the one that
/// Envoy calls.
pub(crate) trait ConfiguredPool {
    /// Returns the context id of the plugin instance.
    fn instance(&self) -> u32;

    /// Has the pool's worker go by this configuration.
    fn configure(&self);

    /// Takes in the messages for the pool's worker, in the name of this plugin instance.
    fn receive(&self, context: u32);

    /// Lets time pass while the pool counts requests, in the name of this plugin instance. True if the pool is to tick
    /// often.
    fn tick(&self, context: u32) -> bool;
}

/// A pool with the plugin instance that is configured for it.
#[derive(Clone)]
pub(crate) struct Instance {
    /// Id of the instance's root context.
    pub(crate) context: u32,
    pub(crate) pool: Rc<dyn ConfiguredPool>,
}

/// The plugin instances that have one pool.
#[derive(Default)]
pub(crate) struct Instances {
    /// Instances that are there, the one that was configured last at the end.
    present: Vec<Instance>,
    /// The pool as the last one had it, once all are gone.
    left: Option<Rc<dyn ConfiguredPool>>,
}

/// The outcome for a pool of a plugin instance that goes.
pub(crate) enum Leaving {
    /// Nothing changes: the instance had no such pool, or was not the newest with it.
    Unchanged,
    /// The pool goes by the configuration of another instance from now on.
    Falls(Rc<dyn ConfiguredPool>),
    /// No instance has the pool any more.
    Orphaned,
}

impl Instances {
    /// Adds a plugin instance, as the newest.
    pub(crate) fn enter(&mut self, instance: Instance) {
        self.present.retain(|other| other.context != instance.context);
        self.present.push(instance);
        self.left = None;
    }

    /// Takes a plugin instance away.
    pub(crate) fn leave(&mut self, context: u32) -> Leaving {
        let is_newest = self.present.last().is_some_and(|newest| newest.context == context);
        let Some(at) = self.present.iter().position(|other| other.context == context) else {
            return Leaving::Unchanged;
        };
        let gone = self.present.remove(at);
        match self.present.last() {
            Some(newest) if is_newest => Leaving::Falls(Rc::clone(&newest.pool)),
            Some(_) => Leaving::Unchanged,
            None => {
                self.left = Some(gone.pool);
                Leaving::Orphaned
            }
        }
    }

    /// Returns the pool that no instance has any more.
    pub(crate) fn orphan(&self) -> Option<Rc<dyn ConfiguredPool>> {
        self.left.clone()
    }

    /// Returns the instance that acts for the pool: the newest, or `keeper` where all are gone.
    pub(crate) fn acting(&self, keeper: u32) -> Option<Instance> {
        let left = || Some(Instance { context: keeper, pool: Rc::clone(self.left.as_ref()?) });
        self.present.last().cloned().or_else(left)
    }
}
