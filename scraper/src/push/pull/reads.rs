//! Memory for reports on their way in: strangers may send some too, and their signature can be checked only when
//! they are whole. A report that finds no room is refused at once: none waits for another.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use wire::reply::REPLY_BYTES_MAX;

use crate::peer::network;

/// Bytes of reports that are read at once for addresses of gateways: each of 64 pools of a few gateways.
const KNOWN_BYTES_MAX: usize = 16 << 20;

/// Bytes of reports that are read at once for one such address: a quarter, as another gateway may be slow.
const KNOWN_ADDRESS_BYTES_MAX: usize = KNOWN_BYTES_MAX / 4;

/// Bytes of reports that are read at once for all other addresses, of which eight may send the longest report. A
/// gateway is among them until its first report was taken.
const STRANGERS_BYTES_MAX: usize = 8 << 20;

/// Bytes of reports that are read at once for one other address.
const STRANGER_BYTES_MAX: usize = REPLY_BYTES_MAX;

/// Bytes that any report counts as, at least: what a request holds beside its body, such as its headers.
const READ_BYTES_MIN: usize = 8 << 10;

/// Room for reports that are being read.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadRoom(Arc<Mutex<TakenRoom>>);

#[derive(Debug, Default)]
struct TakenRoom {
    known: usize,
    strangers: usize,
    /// Bytes of each network.
    networks: BTreeMap<IpAddr, usize>,
}

/// Room of one report, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct ReadPermit {
    room: ReadRoom,
    network: IpAddr,
    bytes: usize,
    is_known: bool,
}

impl ReadRoom {
    /// Takes room for a report of so many bytes; `None` if there is none. An address is known while a gateway is
    /// there of which a report was taken.
    pub(super) fn take(&self, address: IpAddr, bytes: usize, is_known: bool) -> Option<ReadPermit> {
        let (network, bytes) = (network(address), bytes.max(READ_BYTES_MIN));
        let (all_max, own_max) = if is_known {
            (KNOWN_BYTES_MAX, KNOWN_ADDRESS_BYTES_MAX)
        } else {
            (STRANGERS_BYTES_MAX, STRANGER_BYTES_MAX)
        };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.networks.get(&network).copied().unwrap_or_default();
        let all = taken.all(is_known);
        if own.saturating_add(bytes) > own_max || all.saturating_add(bytes) > all_max {
            return None;
        }
        *all += bytes;
        taken.networks.insert(network, own + bytes);
        Some(ReadPermit { room: self.clone(), network, bytes, is_known })
    }
}

impl TakenRoom {
    const fn all(&mut self, is_known: bool) -> &mut usize {
        if is_known { &mut self.known } else { &mut self.strangers }
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        let mut taken = self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
        *taken.all(self.is_known) -= self.bytes;
        let own = taken.networks.get(&self.network).copied().unwrap_or_default();
        match own - self.bytes {
            0 => drop(taken.networks.remove(&self.network)),
            left => drop(taken.networks.insert(self.network, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn strangers_take_no_room_of_gateways_and_give_back_what_they_had() {
        let room = ReadRoom::default();
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let strangers: Vec<_> = (0..99).map(|at| room.take(address(at), MIB, false)).collect();
        assert_eq!(strangers.iter().flatten().count(), 8);
        assert!(room.take(address(0), 1, false).is_none(), "the first one has its own");
        assert!(room.take(address(0), 1, true).is_some(), "a gateway at its address");
        let gateways: Vec<_> = (0..9).map(|_| room.take(address(200), MIB, true)).collect();
        assert_eq!(gateways.iter().flatten().count(), 4, "one gateway has a quarter");
        assert!(room.take(address(201), MIB, true).is_some());
        drop((strangers, gateways));
        let taken = room.0.lock().unwrap();
        assert_eq!((taken.known, taken.strangers, taken.networks.len()), (0, 0, 0));
    }

    #[test]
    fn no_report_is_too_small_to_count() {
        let room = ReadRoom::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        let empty: Vec<_> = (0..1_000).map_while(|_| room.take(address, 0, false)).collect();
        assert_eq!(empty.len(), 128);
    }
}
