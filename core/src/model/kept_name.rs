//! Names of what endpoints keep, as responses of an API that a client may go on from.

/// Digest of a name that an endpoint gave to what it keeps, as one tenant knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptName(pub u64);
