//! The files that a cluster is made of, as `./build.sh cluster` leaves them.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

/// Files and folders of everything that a cluster starts.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The project's folder.
    pub(crate) root: PathBuf,
    /// etcd, kube-apiserver, kube-controller-manager, pilot-discovery, pilot-agent and counting-epp.
    pub(crate) bin: PathBuf,
    /// The charts and CRDs of Istio, the Gateway API and its inference extension, by name and version.
    pub(crate) parts: PathBuf,
    /// The plugin, the scraper and the simulated engine.
    pub(crate) dist: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
    /// The endpoint picker that pools name: the real one if there is one, else one that counts.
    pub(crate) epp: PathBuf,
}

impl Programs {
    /// Finds them in the project at `root`. `LLM_PICKER_EPP` and `LLM_PICKER_ENVOY` name others.
    pub(crate) fn found_in(root: &Path) -> Result<Self> {
        let target = root.join("target");
        let given = |name, otherwise: &str| {
            env::var_os(name).map_or_else(|| target.join(otherwise), PathBuf::from)
        };
        let programs = Self {
            root: root.to_owned(),
            bin: target.join("cluster/bin"),
            parts: target.join("cluster/parts"),
            dist: root.join("dist"),
            envoy: given("LLM_PICKER_ENVOY", "envoy-venv/bin/envoy"),
            kubectl: target.join("kube/kubectl"),
            helm: target.join("kube/helm"),
            epp: given("LLM_PICKER_EPP", "cluster/bin/counting-epp"),
        };
        for file in [&programs.envoy, &programs.kubectl, &programs.helm, &programs.epp] {
            ensure!(file.is_file(), "{} is missing: run ./build.sh cluster", file.display());
        }
        for folder in [&programs.bin, &programs.parts, &programs.dist] {
            ensure!(folder.is_dir(), "{} is missing: run ./build.sh cluster", folder.display());
        }
        Ok(programs)
    }

    /// Returns the program that an image's name stands for, whatever its registry and tag.
    pub(crate) fn of_image(&self, image: &str) -> Option<PathBuf> {
        let last = image.rsplit('/').next().unwrap_or(image);
        let name = last.split([':', '@']).next().unwrap_or(last);
        match name {
            "pilot" => Some(self.bin.join("pilot-discovery")),
            "proxyv2" => Some(self.bin.join("pilot-agent")),
            "llm-scraper" => Some(self.dist.join("llm-scraper")),
            "vllm-sim" => Some(self.dist.join("vllm-sim")),
            "endpoint-picker" => Some(self.epp.clone()),
            "envoy" => Some(self.envoy.clone()),
            _ => None,
        }
    }
}
