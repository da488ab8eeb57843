//! A compiled module, to be shared by the tests of one process.

use std::{path::Path, sync::Arc};
use wasmtime::{Config, Engine, OptLevel};

/// A proxy-wasm module, compiled once; cloning it is free.
#[derive(Clone)]
pub struct Module {
    pub(crate) compiled: wasmtime::Module,
    pub(crate) bytes: Arc<[u8]>,
}

/// Fuel of one callback: a second or two of work. An endless loop fails the test instead of hanging
/// it; a 4 MB body takes about a tenth of this.
pub(crate) const FUEL_PER_CALL: u64 = 1_000_000_000;

/// Bytes of wasm stack. V8 gives about 1 MB to wasm and host frames together.
const STACK_BYTES: usize = 512 * 1024;

impl Module {
    /// Compiles a module given as wasm, or as text (WAT).
    ///
    /// # Errors
    /// When the bytes aren't a module.
    pub fn new(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut config = Config::new();
        // Compile time counts for more than speed: most tests run each path a few times.
        config.cranelift_opt_level(OptLevel::None);
        config.consume_fuel(true);
        config.max_wasm_stack(STACK_BYTES);
        let engine = Engine::new(&config)?;
        let compiled = wasmtime::Module::new(&engine, bytes)?;
        Ok(Self { compiled, bytes: bytes.into() })
    }

    /// Compiles the file at `path`.
    ///
    /// # Errors
    /// When it can't be read, or isn't a module.
    pub fn from_file(path: impl AsRef<Path>) -> anyhow::Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| anyhow::anyhow!("can't read module {}: {error}", path.display()))?;
        Self::new(&bytes)
    }

    /// Returns the module as it was given, for a run in a real Envoy.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the names of the host functions that the module wants, as `module.name`.
    pub fn imports(&self) -> impl Iterator<Item = String> {
        self.compiled.imports().map(|import| format!("{}.{}", import.module(), import.name()))
    }
}
