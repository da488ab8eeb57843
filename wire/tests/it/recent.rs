//! The newest entries of the event ring, behind the ledger in its value.

use std::collections::BTreeMap;

use arbtest::arbitrary::{Result, Unstructured};
use wire::ledger::{self, takes_entry};

use crate::{mutated, shared::some_ledger};

/// Bytes of all entries that a ledger may have, and entries for each worker.
const BYTES_MAX: usize = 4_096;
const PER_MEMBER: usize = 2;

/// Adds an entry as a worker does that changes the ledger. Returns the ledger's new bytes.
fn add(
    u: &mut Unstructured<'_>,
    before: &[u8],
    ring: &mut BTreeMap<u64, Vec<u8>>,
    (position, members): (u64, usize),
) -> Result<Vec<u8>> {
    let entry = vec![position.to_le_bytes()[0]; u.int_in_range(1..=600)?];
    let is_shown = takes_entry(members, entry.len());
    let next = if is_shown { entry.len() } else { 0 };
    let (old, kept) = ledger::recent(before).make_room(members, next);
    ring.extend(old.iter().map(|(position, bytes)| (position, bytes.to_vec())));
    if !is_shown {
        ring.insert(position, entry.clone());
    }
    let shown = is_shown.then_some((position, entry.as_slice()));
    let changed = some_ledger(u)?;
    let bytes = ledger::encode_with(&changed, kept, shown);
    assert_eq!(ledger::decode(&bytes), changed);
    Ok(bytes)
}

#[test]
fn each_entry_is_in_the_ledger_or_in_the_ring() {
    arbtest::arbtest(|u| {
        let (mut bytes, mut ring) = (Vec::new(), BTreeMap::new());
        let positions = u.int_in_range(0..=80)?;
        for position in 0..positions {
            let members = u.int_in_range(0..=20)?;
            bytes = add(u, &bytes, &mut ring, (position, members))?;
            let recent: Vec<_> = ledger::recent(&bytes).iter().collect();
            let most = if members > 1 { members * PER_MEMBER } else { 0 };
            assert!(recent.len() <= most, "{} of {most}", recent.len());
            assert!(bytes.len() - ledger::encode(&ledger::decode(&bytes)).len() <= BYTES_MAX);
            for (at, entry) in ledger::recent(&bytes).at(0..=position) {
                let found = entry.or_else(|| ring.get(&at).map(Vec::as_slice)).unwrap();
                assert!(found.iter().all(|byte| *byte == at.to_le_bytes()[0]), "{at}");
                assert!(entry.is_none() || !ring.contains_key(&at), "{at} is in both");
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_no_list_of_entries_ends_it() {
    arbtest::arbtest(|u| {
        let (mut bytes, mut ring) = (Vec::new(), BTreeMap::new());
        for position in 0..u.int_in_range(0..=9)? {
            bytes = add(u, &bytes, &mut ring, (position, 9))?;
        }
        let bytes = mutated(u, &bytes)?;
        let recent = ledger::recent(&bytes);
        let (old, kept) = recent.make_room(u.int_in_range(0..=9)?, u.int_in_range(0..=600)?);
        assert!(old.iter().count() + kept.iter().count() >= recent.iter().count());
        let _ = ledger::encode_with(&ledger::decode(&bytes), kept, Some((1, b"entry")));
        Ok(())
    });
}
