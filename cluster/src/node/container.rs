//! A container: its program as a process, started again when it ends.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{
    address::PodNetwork,
    environment::{self, expand},
    files::{ENTER, OwnFiles},
    items,
    probe::Probe,
    text,
    volumes::Source,
};
use crate::{process, programs::Programs};

/// Time until a container that ended, or could not be started, is started again.
const AGAIN: Duration = Duration::from_secs(1);

/// A container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    folder: PathBuf,
    log: PathBuf,
    restarts: u32,
    phase: Phase,
}

/// State of a container's process.
#[derive(Debug)]
enum Phase {
    /// Not running, for this reason; started at that time.
    Waiting {
        reason: &'static str,
        message: String,
        at: Instant,
    },
    Running {
        process: Box<Child>,
        probe: Option<Probe>,
        is_ready: bool,
    },
    /// Ended for good, with this status.
    Ended(i32),
}

/// Everything that a container is started with.
pub(super) struct Launch<'a> {
    pub(super) programs: &'a Programs,
    pub(super) source: Source<'a>,
    pub(super) network: &'a PodNetwork,
    pub(super) pod: &'a Value,
    pub(super) hosts: &'a str,
}

impl Container {
    /// A container that is to be started, with its files in `folder`.
    pub(super) fn new(name: &str, folder: PathBuf, log: PathBuf) -> Self {
        let phase = Phase::Waiting {
            reason: "ContainerCreating",
            message: String::new(),
            at: Instant::now(),
        };
        Self { name: name.to_owned(), folder, log, restarts: 0, phase }
    }

    /// Starts the process if it is time, notices its end, and asks whether it is ready.
    pub(super) async fn look(&mut self, launch: &Launch<'_>) {
        match &mut self.phase {
            Phase::Waiting { at, .. } if *at <= Instant::now() => {
                let at = Instant::now() + AGAIN;
                self.phase = match self.start(launch).await {
                    Ok(running) => running,
                    Err((reason, error)) => {
                        Phase::Waiting { reason, message: format!("{error:#}"), at }
                    }
                };
            }
            Phase::Running { process, probe, is_ready } => match process.try_wait() {
                Ok(None) => {
                    if let Some(probe) = probe {
                        *is_ready = probe.answer(*is_ready).await;
                    }
                }
                Ok(Some(status)) => self.end(status.code().unwrap_or(-1), launch.pod),
                Err(_) => self.end(-1, launch.pod),
            },
            Phase::Waiting { .. } | Phase::Ended(_) => (),
        }
    }

    /// Sends the process a signal by name; true while there is a process.
    pub(super) async fn signal(&mut self, name: &str) -> bool {
        let Phase::Running { process, .. } = &mut self.phase else { return false };
        match (process.try_wait(), process.id()) {
            (Ok(None), Some(pid)) => {
                // A process that ended in between cannot be told, and needs not.
                let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).status().await;
                true
            }
            _ => false,
        }
    }

    /// Returns whether a process runs.
    pub(super) fn runs(&mut self) -> bool {
        match &mut self.phase {
            Phase::Running { process, .. } => matches!(process.try_wait(), Ok(None)),
            Phase::Waiting { .. } | Phase::Ended(_) => false,
        }
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running { is_ready: true, .. })
    }

    /// Returns the status of a container that ended for good.
    pub(super) const fn ended(&self) -> Option<i32> {
        match self.phase {
            Phase::Ended(code) => Some(code),
            Phase::Waiting { .. } | Phase::Running { .. } => None,
        }
    }

    /// Returns what a pod's status says of the container.
    pub(super) fn status(&self, image: &str) -> Value {
        let (state, is_running) = match &self.phase {
            Phase::Waiting { reason, message, .. } => {
                (json!({"waiting": {"reason": reason, "message": message}}), false)
            }
            Phase::Running { .. } => (json!({"running": {}}), true),
            Phase::Ended(code) => (json!({"terminated": {"exitCode": code}}), false),
        };
        json!({
            "name": self.name, "image": image, "imageID": "", "state": state, "started": is_running,
            "ready": self.is_ready(), "restartCount": self.restarts,
        })
    }

    /// Writes the names of Services to where the container reads them.
    pub(super) fn write_hosts(&self, hosts: &str) {
        // A container that is not started yet gets them when it is.
        let _ = std::fs::write(self.folder.join("etc/hosts"), hosts);
    }

    fn end(&mut self, code: i32, pod: &Value) {
        let goes_on = match text(pod, "/spec/restartPolicy") {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        };
        self.phase = if goes_on {
            self.restarts += 1;
            let message = format!("ended with status {code}");
            Phase::Waiting { reason: "CrashLoopBackOff", message, at: Instant::now() + AGAIN }
        } else {
            Phase::Ended(code)
        };
    }

    async fn start(&self, launch: &Launch<'_>) -> Result<Phase, (&'static str, anyhow::Error)> {
        let containers = items(launch.pod, "/spec/containers");
        let spec = containers.iter().find(|it| text(it, "/name") == self.name);
        let spec = spec.context("no such container").map_err(|error| ("Invalid", error))?;
        let image = text(spec, "/image");
        let program = launch.programs.of_image(image).filter(|program| program.is_file());
        let program = program.with_context(|| format!("no program stands for the image {image}"));
        let program = program.map_err(|error| ("ErrImagePull", error))?;
        let invalid = |error| ("CreateContainerConfigError", error);
        let _ = std::fs::remove_dir_all(&self.folder);
        let files = OwnFiles::create(self.folder.clone()).map_err(invalid)?;
        launch.source.mount(spec, launch.pod, &files).await.map_err(invalid)?;
        let environment =
            environment::of(spec, launch.pod, &launch.source).await.map_err(invalid)?;
        let plugin = launch.programs.dist.join("llm-picker.wasm");
        if image.contains("llm-scraper") {
            // The scraper's image brings the plugin along.
            let place = files.root().join("usr/local/share/llm-picker");
            let copied = std::fs::create_dir_all(&place)
                .and_then(|()| std::fs::copy(plugin, place.join("llm-picker.wasm")));
            copied.map_err(|error| invalid(error.into()))?;
        }
        self.write_hosts(launch.hosts);
        let words = |key| items(spec, key).iter().filter_map(Value::as_str);
        let mut line: Vec<String> = words("/command").map(|it| expand(it, &environment)).collect();
        if line.is_empty() {
            line.push(program.display().to_string());
        }
        line.extend(words("/args").map(|it| expand(it, &environment)));
        let process = self.enter(files.root(), launch, &line, environment).map_err(invalid)?;
        let process = Box::new(process);
        let probe = Probe::of(spec, launch.network.address);
        let is_ready = probe.is_none();
        Ok(Phase::Running { process, probe, is_ready })
    }

    /// Starts the command line in the pod's network and over the container's files.
    fn enter(
        &self,
        root: &std::path::Path,
        launch: &Launch<'_>,
        line: &[String],
        environment: environment::Environment,
    ) -> Result<Child> {
        let root = root.display().to_string();
        let project = launch.programs.root.display().to_string();
        let before = ["netns", "exec", &launch.network.name, "unshare", "--mount", "sh", "-c"];
        let mut args: Vec<&str> = before.to_vec();
        args.extend([ENTER, "enter", &root, &project]);
        args.extend(line.iter().map(String::as_str));
        process::start_clean(&self.log, "ip", &args, environment)
    }
}
