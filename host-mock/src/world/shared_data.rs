//! Shared data: one map per vm_id, with compare-and-swap.

use crate::status::Status;
use std::collections::BTreeMap;

/// Values and their generation (`cas`), as proxy-wasm-cpp-host's shared_data.cc keeps them.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    /// Generation of the last write of any key: generations are unique and grow over all keys.
    last_cas: u32,
}

impl SharedData {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&(Vec<u8>, u32)> {
        self.values.get(key)
    }

    /// Writes a value. `cas` 0 writes unconditionally; another value must be the present
    /// generation, unless the key is missing: then it is inserted all the same.
    pub(crate) fn set(&mut self, key: &[u8], value: Vec<u8>, cas: u32) -> Result<(), Status> {
        if let Some((_, present)) = self.values.get(key)
            && cas != 0
            && cas != *present
        {
            return Err(Status::CasMismatch);
        }
        self.last_cas = match self.last_cas.wrapping_add(1) {
            0 => 1, // Zero means "unconditional" and is never a generation.
            next => next,
        };
        self.values.insert(key.to_vec(), (value, self.last_cas));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_generation_loses_and_a_missing_key_is_inserted_whatever_the_generation() {
        let mut data = SharedData::default();
        assert_eq!(data.set(b"a", b"1".to_vec(), 77), Ok(()));
        assert_eq!(data.set(b"b", b"1".to_vec(), 0), Ok(()));
        let cas = data.get(b"a").unwrap().1;
        assert!(data.get(b"b").unwrap().1 > cas);
        assert_eq!(data.set(b"a", b"2".to_vec(), cas), Ok(()));
        assert_eq!(data.set(b"a", b"3".to_vec(), cas), Err(Status::CasMismatch));
        assert_eq!(data.set(b"a", b"".to_vec(), 0), Ok(()));
        assert_eq!(data.get(b"a").unwrap().0, b"");
    }
}
