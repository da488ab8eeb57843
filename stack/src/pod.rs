//! A vLLM server: simulated by the stack, or given to it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

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
    /// Order by which the stack started it; `None` where it ran already.
    order: Option<Order>,
}

/// The order by which a simulated pod is started, kept to start it again.
#[derive(Debug)]
struct Order {
    sim: PathBuf,
    dir: PathBuf,
    number: usize,
    args: Vec<String>,
}

impl Pod {
    /// Returns a server that runs already.
    pub(crate) const fn given(addr: SocketAddr) -> Self {
        Self { addr, child: None, order: None }
    }

    /// Starts a simulated pod, the `number`th, on a free port.
    pub(crate) async fn start(
        programs: &Programs,
        dir: &Path,
        number: usize,
        args: &[String],
    ) -> Result<Self> {
        let order =
            Order { sim: programs.sim.clone(), dir: dir.to_owned(), number, args: args.to_vec() };
        let mut child = order.start(0)?;
        let addr = child.listening().await?;
        Ok(Self { addr, child: Some(child), order: Some(order) })
    }

    /// Kills the pod where it still runs, and starts it again at the same address, with an empty cache.
    ///
    /// # Errors
    /// Where the stack did not start this pod, or it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        let order = self.order.as_ref().context("the stack did not start this pod")?;
        if let Some(mut old) = self.child.take() {
            old.kill().await?;
        }
        let mut child = order.start(self.addr.port())?;
        child.listening().await?;
        self.child = Some(child);
        Ok(())
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

    /// Lets a pod that hangs go on.
    pub async fn thaw(&mut self) -> Result<()> {
        self.child.as_mut().context("the stack did not start this pod")?.signal("CONT").await
    }

    pub(crate) fn exit(&mut self) -> Option<Exit> {
        self.child.as_mut().and_then(Child::exit)
    }

    /// Forgets an ended process, so that it is reported once.
    pub(crate) fn forget(&mut self) {
        self.child = None;
    }
}

impl Order {
    fn start(&self, port: u16) -> Result<Child> {
        let port = port.to_string();
        let fixed = ["--host", "127.0.0.1", "--port", &port, "--served-model-name", MODEL];
        let args = fixed.into_iter().map(Into::into).chain(self.args.iter().map(Into::into));
        let program = Program {
            name: format!("pod {}", self.number),
            file: &self.sim,
            args: args.collect(),
            env: Vec::new(),
        };
        program.start(&self.dir)
    }
}
