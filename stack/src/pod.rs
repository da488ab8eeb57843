//! A vLLM server: simulated by the stack, or given to it.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use crate::{
    Programs,
    child::{Child, Exit, Program},
};

/// Name that simulated pods give their model.
pub(crate) const MODEL: &str = "tiny";

/// A server behind the gateway.
#[derive(Debug)]
pub struct Pod {
    /// Address on which it listens.
    pub addr: SocketAddr,
    child: Option<Child>,
}

impl Pod {
    /// Returns a server that runs already.
    pub(crate) const fn given(addr: SocketAddr) -> Self {
        Self { addr, child: None }
    }

    /// Starts a simulated pod, the `number`th, on a free port.
    pub(crate) async fn start(
        programs: &Programs,
        dir: &Path,
        number: usize,
        args: &[String],
    ) -> Result<Self> {
        let fixed = ["--host", "127.0.0.1", "--port", "0", "--served-model-name", MODEL];
        let program = Program {
            name: format!("pod {number}"),
            file: &programs.sim,
            args: fixed.into_iter().map(Into::into).chain(args.iter().map(Into::into)).collect(),
            env: Vec::new(),
        };
        let mut child = program.start(dir)?;
        let addr = child.listening().await?;
        Ok(Self { addr, child: Some(child) })
    }

    /// Returns the pod's process, if the stack started it.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Kills the pod at once, as a node failure would.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.as_mut().context("the stack did not start this pod")?.kill().await
    }

    /// Makes the pod hang: connections are accepted by the kernel, and nothing is ever answered.
    pub async fn freeze(&mut self) -> Result<()> {
        self.child.as_mut().context("the stack did not start this pod")?.signal("STOP").await
    }

    pub(crate) fn exit(&mut self) -> Option<Exit> {
        self.child.as_mut().and_then(Child::exit)
    }

    /// Forgets an ended process, so that it is reported once.
    pub(crate) fn forget(&mut self) {
        self.child = None;
    }
}
