//! The keys of an object: those of today, of older EPPs, and those without effect.

/// Keys that an object may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys<'k> {
    /// Keys of today, which errors list.
    pub(super) known: &'k [&'k str],
    /// Keys of older EPPs, which are read too.
    pub(super) older: &'k [&'k str],
    /// Keys of EPPs that have no effect here, each with the reason.
    pub(super) void: &'k [(&'k str, &'k str)],
}

impl<'k> Keys<'k> {
    /// Returns keys of which all are of today.
    pub(super) const fn known(known: &'k [&'k str]) -> Self {
        Self { known, older: &[], void: &[] }
    }

    /// True for a key of any of them.
    pub(super) fn has(&self, key: &str) -> bool {
        let is_void = || self.void.iter().any(|(void, _)| *void == key);
        self.known.contains(&key) || self.older.contains(&key) || is_void()
    }
}
