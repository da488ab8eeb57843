//! The scraper, pointed at the pods and at Envoy.

use std::{ffi::OsString, net::SocketAddr, path::Path};

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::{
    Programs,
    child::{Child, POLL, Program, STARTUP},
    http,
};

/// Variable that names the file with the secret.
const SECRET_FILE_ENV: &str = "LLM_SCRAPER_SECRET_FILE";

/// A running scraper.
#[derive(Debug)]
pub(crate) struct Scraper {
    pub(crate) child: Child,
    /// Address of the scraper's own metrics and status page.
    pub(crate) status: SocketAddr,
}

impl Scraper {
    /// Starts a scraper of these pods, which pushes to all of `ingests`.
    pub(crate) async fn start(
        programs: &Programs,
        dir: &Path,
        pods: &[SocketAddr],
        ingests: &[SocketAddr],
        secret: &Path,
    ) -> Result<Self> {
        let mut args: Vec<OsString> =
            ["--pool", "default", "--interval", "50ms", "--listen", "127.0.0.1:0"]
                .map(Into::into)
                .to_vec();
        for ingest in ingests {
            args.extend(["--envoy".into(), format!("http://{ingest}").into()]);
        }
        for pod in pods {
            args.push("--endpoint".into());
            args.push(pod.to_string().into());
        }
        // Whoever takes the place of this scraper with its environment can sign as it does.
        let env = vec![(SECRET_FILE_ENV, secret.display().to_string())];
        let program = Program { name: "scraper".to_owned(), file: &programs.scraper, args, env };
        let mut child = program.start(dir)?;
        let status = child.listening().await?;
        Ok(Self { child, status })
    }

    /// Waits until the scraper has tried every pod and an Envoy has taken a snapshot.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + STARTUP;
        let mut said = String::new();
        while Instant::now() < deadline {
            self.child.ensure_alive()?;
            match http::get(self.status, "/readyz").await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => said = answer.body,
                Err(error) => said = error.to_string(),
            }
            sleep(POLL).await;
        }
        Err(self.child.failure(&format!("did not become ready ({})", said.trim())))
    }
}
