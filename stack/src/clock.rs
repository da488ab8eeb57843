//! A wall clock that can be stepped under a running Envoy.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// Source of the library that is preloaded into Envoy.
const SOURCE: &str = include_str!("clock.c");

/// A step that is added to the real time of a program started with [`Clock::env`].
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    step: PathBuf,
}

impl Clock {
    /// Compiles the library into `dir`, with a step of zero.
    ///
    /// # Errors
    /// Where `dir` cannot be written to, or there is no C compiler `cc`.
    pub fn build(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let (source, library, step) =
            (dir.join("clock.c"), dir.join("clock.so"), dir.join("clock.step"));
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source);
        let status = compiler.status().context("cc compiles the clock and could not be run")?;
        ensure!(status.success(), "cc: {status}");
        let clock = Self { library, step };
        fs::write(&clock.step, 0_i64.to_le_bytes())?;
        Ok(clock)
    }

    /// Returns the variables of the program's environment.
    #[must_use]
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("LLM_PICKER_CLOCK", self.step.display().to_string()),
        ]
    }

    /// Sets the step, in milliseconds, at once.
    ///
    /// # Errors
    /// Where the file of the step is gone.
    pub fn step(&self, milliseconds: i64) -> Result<()> {
        // Written over: the program has mapped this very file.
        let file = OpenOptions::new().write(true).open(&self.step)?;
        Ok(file.write_all_at(&milliseconds.to_le_bytes(), 0)?)
    }
}
