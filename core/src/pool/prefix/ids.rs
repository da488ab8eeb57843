//! Places in the tables of the index.

/// A segment's place in the slab.
pub(super) type SegmentId = u32;

/// A holding's place in the slab.
pub(super) type HoldingId = u32;

/// No segment and no holding: past the end of any slab, so that looking it up finds nothing.
pub(super) const NOWHERE: u32 = u32::MAX;
