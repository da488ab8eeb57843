//! The newest entries of the event ring, in the ledger's own value.
//!
//! A worker reads the ledger for each request anyway. What the others placed since its last look is there with
//! it, where an entry by itself is one more value to read, which costs Envoy a dozen times as much as its bytes
//! do. An entry that has to make room is written to its place in the ring, where late workers find it.

/// Bytes of all entries: more would cost each reader and writer of the ledger what they save.
const BYTES_MAX: usize = 4_096;

/// Bytes of one entry. That of a long prompt is larger, and copying it with each change of the ledger would cost
/// more than the few workers do that read it by itself.
const ENTRY_MAX: usize = 512;

/// Entries for each worker: between two looks of a worker each of the others places one request on the average.
const PER_MEMBER: usize = 2;

/// Bytes in front of an entry: its position in the ring, and its length.
const HEAD: usize = 16;

/// The newest entries of the event ring, oldest first, as bytes in the ledger's value.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentEntries<'a>(pub(super) &'a [u8]);

impl<'a> RecentEntries<'a> {
    /// Returns the position and the bytes of each entry. What is no entry ends the list.
    pub fn iter(self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (position, behind) = rest.split_first_chunk::<8>()?;
            let (length, behind) = behind.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (entry, behind) = behind.split_at_checked(length)?;
            rest = behind.get(padding(length)..)?;
            Some((u64::from_le_bytes(*position), entry))
        })
    }

    /// Returns these positions, which ascend, with the bytes of the entries that stand here.
    pub fn at(
        self,
        positions: impl Iterator<Item = u64>,
    ) -> impl Iterator<Item = (u64, Option<&'a [u8]>)> {
        // Positions are given in the order in which entries are appended.
        let mut entries = self.iter().peekable();
        positions.map(move |position| {
            while entries.next_if(|(at, _)| *at < position).is_some() {}
            (position, entries.next_if(|(at, _)| *at == position).map(|(_, entry)| entry))
        })
    }

    /// Splits off the oldest entries, as far as those of so many workers and one more of `next` bytes have to
    /// make room. Returns them, and those that stay.
    #[must_use]
    pub fn make_room(self, members: usize, next: usize) -> (Self, Self) {
        let count = self.iter().count();
        let entries_max = entries_max(members).saturating_sub(usize::from(next > 0));
        let mut surplus = count.saturating_sub(entries_max);
        let mut at = 0;
        for (_, entry) in self.iter() {
            let left = self.0.len().saturating_sub(at);
            if surplus == 0 && left.saturating_add(size(next)) <= BYTES_MAX {
                break;
            }
            surplus = surplus.saturating_sub(1);
            at += size(entry.len());
        }
        let (old, kept) = self.0.split_at_checked(at).unwrap_or((self.0, &[]));
        (Self(old), Self(kept))
    }
}

/// True if an entry of so many bytes may stand in the ledger of so many workers. One worker alone has nothing to
/// read.
#[must_use]
pub const fn takes_entry(members: usize, bytes: usize) -> bool {
    members > 1 && bytes <= ENTRY_MAX
}

const fn entries_max(members: usize) -> usize {
    if members > 1 { members.saturating_mul(PER_MEMBER) } else { 0 }
}

/// Appends an entry to a ledger's bytes.
pub(super) fn append(bytes: &mut Vec<u8>, position: u64, entry: &[u8]) {
    let length = u64::try_from(entry.len()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(entry);
    bytes.resize(bytes.len() + padding(entry.len()), 0);
}

/// Bytes of an entry with what stands in front of it and behind; none for no entry.
pub(super) const fn size(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { HEAD + bytes + padding(bytes) }
}

/// Bytes behind an entry, so that the next one begins with a word.
const fn padding(bytes: usize) -> usize {
    bytes.next_multiple_of(8) - bytes
}
