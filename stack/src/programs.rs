//! The files of the programs that a stack starts.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

/// The files that a stack is made of.
#[derive(Clone, Debug)]
pub struct Programs {
    pub(crate) envoy: PathBuf,
    pub(crate) wasm: PathBuf,
    pub(crate) scraper: PathBuf,
    pub(crate) sim: PathBuf,
}

impl Programs {
    /// Finds the programs that `./build.sh` leaves in the project at `root`. `LLM_PICKER_ENVOY`
    /// names another Envoy.
    pub fn built_in(root: &Path) -> Result<Self> {
        let envoy = env::var_os("LLM_PICKER_ENVOY")
            .map_or_else(|| root.join("target/envoy-venv/bin/envoy"), PathBuf::from);
        let dist = root.join("dist");
        let programs = Self {
            envoy,
            wasm: dist.join("llm-picker.wasm"),
            scraper: dist.join("llm-scraper"),
            sim: dist.join("vllm-sim"),
        };
        for file in [&programs.envoy, &programs.wasm, &programs.scraper, &programs.sim] {
            ensure!(file.is_file(), "{} is missing: run ./build.sh first", file.display());
        }
        Ok(programs)
    }

    /// Takes another Envoy.
    #[must_use]
    pub fn with_envoy(self, envoy: PathBuf) -> Self {
        Self { envoy, ..self }
    }

    /// Takes another filter.
    #[must_use]
    pub fn with_wasm(mut self, wasm: PathBuf) -> Self {
        self.wasm = wasm;
        self
    }

    /// Returns the file of Envoy.
    #[must_use]
    pub fn envoy(&self) -> &Path {
        &self.envoy
    }

    /// Returns the file of the filter.
    #[must_use]
    pub fn wasm(&self) -> &Path {
        &self.wasm
    }
}
