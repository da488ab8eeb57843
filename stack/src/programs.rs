//! The files of the programs that a stack starts.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

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
        let programs = Self::beside(&root.join("dist"))?;
        ensure!(
            programs.sim.is_file(),
            "{} is missing: run ./build.sh first",
            programs.sim.display()
        );
        Ok(programs)
    }

    /// Finds the programs in one folder, whatever is around it. Envoy is the one that `LLM_PICKER_ENVOY` names, or else
    /// the one of the project around the folder, or else the first `envoy` on the `PATH`. The simulated
    /// server may be missing.
    pub fn beside(dist: &Path) -> Result<Self> {
        let programs = Self {
            envoy: find_envoy(dist)?,
            wasm: dist.join("llm-picker.wasm"),
            scraper: dist.join("llm-scraper"),
            sim: dist.join("vllm-sim"),
        };
        for file in [&programs.envoy, &programs.wasm, &programs.scraper] {
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

    /// True if the simulated server is there.
    #[must_use]
    pub fn simulates(&self) -> bool {
        self.sim.is_file()
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

fn find_envoy(dist: &Path) -> Result<PathBuf> {
    if let Some(named) = env::var_os("LLM_PICKER_ENVOY") {
        return Ok(PathBuf::from(named));
    }
    let own = dist.join("../target/envoy-venv/bin/envoy");
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path).map(|folder| folder.join("envoy"));
    let found = std::iter::once(own).chain(installed).find(|file| file.is_file());
    found.context("found no Envoy: put one on the PATH, or name it in LLM_PICKER_ENVOY")
}
