//! The eviction of requests that run.

/// The requests that may be ended while they run, to make room for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// None: what runs is left to end (the EPP's default).
    #[default]
    Off,
    /// Those below priority 0, where one of a higher band finds no room: the lowest priority first, and of one
    /// priority the one that was sent last (EPP: `enableEviction`, `sheddable-eviction-filter`,
    /// `priority-then-time-eviction-order-policy`).
    Sheddable,
}
