//! The plugin itself, for clusters that can't fetch it from a registry.

use std::{fmt::Write as _, fs, path::Path};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Bytes of the largest plugin: as much as Istio takes by default
/// (`ISTIO_WASM_MAX_BINARY_SIZE_BYTES`).
const PLUGIN_BYTES_MAX: u64 = 256 << 20;

/// First bytes of every WebAssembly module.
const MAGIC: &[u8] = b"\0asm";

/// A WebAssembly module and the digest that identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    bytes: Bytes,
    /// SHA-256 of the bytes.
    digest: [u8; 32],
}

impl Plugin {
    /// Reads the module from a file.
    ///
    /// # Errors
    /// If the file can't be read or is no WebAssembly module.
    pub fn load(path: &Path) -> Result<Self, String> {
        let file = path.display();
        let unreadable = |why: std::io::Error| format!("failed to read the plugin {file}: {why}");
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if size > PLUGIN_BYTES_MAX {
            return Err(format!(
                "invalid plugin {file}: found {size} bytes; allowed: {PLUGIN_BYTES_MAX}"
            ));
        }
        Self::new(fs::read(path).map_err(unreadable)?)
            .ok_or_else(|| format!("invalid plugin {file}: must be a WebAssembly module"))
    }

    pub(crate) fn new(bytes: Vec<u8>) -> Option<Self> {
        let digest = Sha256::digest(&bytes).into();
        bytes.starts_with(MAGIC).then(|| Self { bytes: bytes.into(), digest })
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(crate) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the SHA-256 of the module in hexadecimal, as a WasmPlugin wants it.
    #[must_use]
    pub fn sha256(&self) -> String {
        self.digest.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_module_is_taken() {
        assert_eq!(Plugin::new(b"<html>".to_vec()), None);
        let why = Plugin::load(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(
            why,
            "failed to read the plugin /nonexistent: No such file or directory (os error 2)"
        );
    }
}
