//! A running stack: questions to it, and what is done to it while it runs.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Answer, Exit, Pod, Way,
    bootstrap::{Discovered, Ports},
    envoy::Envoy,
    gateways::{GatewayPlan, GatewayRecipe, gateway_folder},
    http,
    scraper::Scraper,
    way::with_way,
};

/// Name of the file with the scraper's secret, in the stack's folder.
pub(crate) const SECRET_FILE: &str = "secret";

/// A running stack. Dropping it kills all that it started. Of several gateways, what is said of one is
/// said of the first.
#[derive(Debug)]
pub struct Stack {
    /// Address for clients' requests.
    pub gateway: SocketAddr,
    /// Address for snapshots.
    pub ingest: SocketAddr,
    /// Address of Envoy's admin interface.
    pub admin: SocketAddr,
    /// Address of the scraper's own metrics and status page, unless it was left out.
    pub status: Option<SocketAddr>,
    /// Servers behind the gateway.
    pub pods: Vec<Pod>,
    /// Secret that pushes are signed with.
    pub secret: String,
    /// Way in which requests are held and endpoints told.
    pub way: Way,
    /// Number of Envoy's worker threads.
    pub workers: usize,
    /// Recipe by which every gateway was started.
    pub(crate) recipe: GatewayRecipe,
    pub(crate) envoy: Envoy,
    /// Gateways beside the first.
    pub(crate) siblings: Vec<Envoy>,
    pub(crate) scraper: Option<Scraper>,
    /// Scrapers that were started before it and run beside it.
    pub(crate) earlier_scrapers: Vec<Scraper>,
    pub(crate) dir: TempDir,
}

impl Stack {
    /// Returns the file with the secret that the scraper signs with.
    #[must_use]
    pub fn secret_file(&self) -> PathBuf {
        self.dir.path().join(SECRET_FILE)
    }

    /// Returns the programs that have ended since the last call.
    pub fn ended(&mut self) -> Vec<Exit> {
        let mut ended = Vec::new();
        for pod in &mut self.pods {
            if let Some(exit) = pod.exit() {
                pod.forget();
                ended.push(exit);
            }
        }
        self.earlier_scrapers.retain_mut(|scraper| match scraper.child.exit() {
            Some(exit) => {
                ended.push(exit);
                false
            }
            None => true,
        });
        if let Some(exit) = self.scraper.as_mut().and_then(|scraper| scraper.child.exit()) {
            self.scraper = None;
            ended.push(exit);
        }
        ended
    }

    /// Returns the address of Envoy's listener of that name.
    pub async fn listener(&self, name: &str) -> Result<SocketAddr> {
        self.envoy.listener(name).await
    }

    /// Fails once an Envoy is gone, without which the stack is not what was asked for.
    pub fn ensure_envoy(&mut self) -> Result<()> {
        self.siblings.iter_mut().try_for_each(|envoy| envoy.child.ensure_alive())?;
        self.envoy.child.ensure_alive()
    }

    /// Returns the addresses for clients' requests of all gateways, the first one's in front.
    #[must_use]
    pub fn gateways(&self) -> Vec<SocketAddr> {
        self.envoys().map(|envoy| envoy.gateway).collect()
    }

    /// Returns process and admin address of every Envoy, the first in front.
    #[must_use]
    pub fn admins(&self) -> Vec<(u32, SocketAddr)> {
        self.envoys().map(|envoy| (envoy.child.pid(), envoy.admin)).collect()
    }

    /// Returns the addresses for pushes of all gateways, the first one's in front.
    #[must_use]
    pub fn ingests(&self) -> Vec<SocketAddr> {
        self.envoys().map(|envoy| envoy.ingest).collect()
    }

    fn envoys(&self) -> impl Iterator<Item = &Envoy> {
        std::iter::once(&self.envoy).chain(&self.siblings)
    }

    /// Kills the gateway of this number beside the first, counted from 1, with all its connections, and starts it
    /// again on the same ports. Returns once it accepts requests.
    ///
    /// # Errors
    /// Where there is no such gateway, and where it does not start.
    pub async fn restart_gateway(&mut self, number: usize) -> Result<()> {
        let place = number.checked_sub(1).and_then(|at| self.siblings.get_mut(at));
        let envoy =
            place.with_context(|| format!("there is no gateway {number} beside the first"))?;
        let ports = Ports { gateway: envoy.gateway.port(), ingest: envoy.ingest.port() };
        envoy.child.kill().await?;
        let folder = self.dir.path();
        let plan = GatewayPlan { folder, number, ports };
        *envoy = self.recipe.start(plan).await?;
        Ok(())
    }

    /// Kills the scraper. If one was started before it, that is the scraper now; else no snapshot comes any more.
    pub async fn kill_scraper(&mut self) -> Result<()> {
        let mut scraper = self.scraper.take().context("there is no scraper")?;
        scraper.child.kill().await?;
        self.scraper = self.earlier_scrapers.pop();
        self.status = self.scraper.as_ref().map(|scraper| scraper.status).or(self.status);
        Ok(())
    }

    /// Starts another scraper beside the one that runs.
    pub async fn add_scraper(&mut self) -> Result<()> {
        self.earlier_scrapers.extend(self.scraper.take());
        self.start_scraper().await
    }

    /// Starts a scraper where there is none, and waits until it has pushed.
    pub async fn start_scraper(&mut self) -> Result<()> {
        ensure!(self.scraper.is_none(), "a scraper runs already");
        let pods: Vec<SocketAddr> = self.pods.iter().map(|pod| pod.addr).collect();
        let ingests = self.ingests();
        let (dir, secret_file) = (self.dir.path(), self.secret_file());
        let programs = &self.recipe.programs;
        let mut scraper = Scraper::start(programs, dir, &pods, &ingests, &secret_file).await?;
        scraper.ready().await?;
        self.status = Some(scraper.status);
        self.scraper = Some(scraper);
        Ok(())
    }

    /// Replaces the plugin's configuration in a running Envoy, whatever it says.
    ///
    /// # Errors
    /// Where the stack was not built [`reloadable`](crate::Builder::reloadable).
    pub fn reload(&self, plugin: Value) -> Result<()> {
        let plugin = with_way(plugin, self.way)?;
        (0..=self.siblings.len()).try_for_each(|number| {
            let folder = gateway_folder(self.dir.path(), number);
            Discovered::read(&folder)?.with_plugin(&plugin)?.write(&folder)
        })
    }

    /// Stops Envoy in the middle of its work, as a freezer or a live migration does.
    pub async fn freeze_envoy(&mut self) -> Result<()> {
        self.envoy.child.signal("STOP").await
    }

    /// Lets a frozen Envoy go on.
    pub async fn thaw_envoy(&mut self) -> Result<()> {
        self.envoy.child.signal("CONT").await
    }

    /// Returns the processes of Envoy and of the scraper.
    #[must_use]
    pub fn pids(&self) -> (u32, Option<u32>) {
        (self.envoy.child.pid(), self.scraper.as_ref().map(|scraper| scraper.child.pid()))
    }

    /// Returns Envoy's statistics with names that match the regular expression `filter`, one `name:
    /// value` a line.
    pub async fn stats(&self, filter: &str) -> Result<String> {
        Ok(http::get(self.admin, &format!("/stats?filter={filter}")).await?.body)
    }

    /// Returns the first pod's answer to `path`.
    pub async fn ask_pod(&self, path: &str) -> Result<Answer> {
        let pod = self.pods.first().context("there are no pods")?;
        http::get(pod.addr, path).await
    }

    /// Returns the folder of the logs and the bootstrap, which is there while the stack runs.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}
