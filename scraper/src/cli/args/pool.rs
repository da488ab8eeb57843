//! Flags that describe a pool.

use std::path::PathBuf;

use clap::Args;
use picker_core::Objective;
use scraper::settings::{
    Discovery, InferencePool, ListedEndpoints, MetricsSource, Objectives, PoolSettings, Target,
    parse_objective, pool_name,
};
use wire::metrics::Engines;

/// Settings of one pool without a file, or changes to the file's only pool.
#[derive(Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "One pool")]
pub(super) struct PoolArgs {
    /// The pool's name, as in the plugin's configuration [default: default]
    #[arg(long = "pool", value_name = "NAME", env = "LLM_SCRAPER_POOL", value_parser = pool_name)]
    name: Option<String>,

    /// A model server to scrape; repeatable. A name stands for all its addresses and is looked up
    /// again every 5 s. Pod labels may follow: "HOST:PORT key=value"
    #[arg(
        long = "endpoint",
        value_name = "HOST:PORT",
        env = "LLM_SCRAPER_ENDPOINTS",
        value_delimiter = ','
    )]
    endpoints: Vec<Target>,

    /// File with more model servers, one "HOST:PORT [key=value ...]" per line, where the keys are
    /// pod labels; # starts a comment. Read again when it changes; a broken file leaves the last
    /// good list in place
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_ENDPOINTS_FILE")]
    endpoints_file: Option<PathBuf>,

    /// In place of a list: an InferencePool of Kubernetes, by its namespace and name
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME",
        env = "LLM_SCRAPER_INFERENCE_POOL",
        value_parser = InferencePool::parse,
        conflicts_with_all = ["endpoints", "endpoints_file"]
    )]
    inference_pool: Option<InferencePool>,

    /// An objective that requests may name, and its priority; repeatable. Requests of a higher
    /// priority go first, those below zero may be shed. An objective of the same name in the
    /// plugin's configuration takes precedence
    #[arg(long = "objective", value_name = "NAME=PRIORITY", value_parser = parse_objective)]
    objectives: Vec<Objective>,
}

impl PoolArgs {
    /// Returns the file's pools with these changes.
    pub(super) fn over(self, mut pools: Vec<PoolSettings>) -> Result<Vec<PoolSettings>, String> {
        if self == Self::default() && !pools.is_empty() {
            return Ok(pools);
        }
        let found = pools.len();
        if found > 1 {
            return Err(format!(
                "invalid flags: flags that describe a pool need a file of one pool; found {found}"
            ));
        }
        Ok(vec![self.over_one(pools.pop())?])
    }

    fn over_one(self, file: Option<PoolSettings>) -> Result<PoolSettings, String> {
        let listed = !self.endpoints.is_empty() || self.endpoints_file.is_some();
        let listed = listed.then_some(Discovery::Listed(ListedEndpoints {
            endpoints: self.endpoints,
            file: self.endpoints_file,
        }));
        let listed = listed.or_else(|| self.inference_pool.map(Discovery::InferencePool));
        let objectives = Objectives::new(self.objectives)?;
        let mut pool = match (file, &listed) {
            (Some(file), _) => file,
            (None, Some(discovery)) => PoolSettings {
                name: match discovery {
                    Discovery::InferencePool(pool) => pool.name.clone(),
                    Discovery::Listed(_) | Discovery::Pods(_) => "default".to_owned(),
                },
                discovery: discovery.clone(),
                objectives: Objectives::default(),
                engines: Engines::default(),
                source: MetricsSource::default(),
            },
            (None, None) => {
                return Err("no endpoints: give --endpoint, --endpoints-file, --inference-pool, \
                            or a pool in --config"
                    .to_owned());
            }
        };
        pool.name = self.name.unwrap_or(pool.name);
        pool.discovery = listed.unwrap_or(pool.discovery);
        if objectives != Objectives::default() {
            pool.objectives = objectives;
        }
        Ok(pool)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use scraper::config;

    use super::*;
    use crate::cli::args::Args;

    fn pools(args: &[&str], file: &str) -> Result<Vec<PoolSettings>, String> {
        let args = Args::try_parse_from([&["llm-scraper"], args].concat());
        let args = args.map_err(|why| why.to_string())?;
        args.options.pool.over(config::parse("s.yaml", file).unwrap().pools)
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = "pools: [{name: chat, endpoints: [a:1], objectives: [{name: paid}]}]";
        let changed_by = |args: &[&str]| pools(args, file).unwrap().remove(0);
        assert_eq!(changed_by(&[]), config::parse("s.yaml", file).unwrap().pools.remove(0));
        let changed = changed_by(&["--endpoint", "b:2"]);
        assert_eq!(changed.name, "chat");
        assert_eq!(changed.objectives, changed_by(&[]).objectives);
        let endpoints = vec!["b:2".parse().unwrap()];
        assert_eq!(changed.discovery, Discovery::Listed(ListedEndpoints { endpoints, file: None }));
        let pool = InferencePool::parse("demo/qwen").unwrap();
        let changed = changed_by(&["--inference-pool", "demo/qwen"]);
        assert_eq!(changed.discovery, Discovery::InferencePool(pool));
        assert_eq!(changed_by(&["--pool", "code"]).name, "code");
    }

    #[test]
    fn there_is_a_pool_by_flags_or_by_file() {
        assert_eq!(pools(&["--endpoint", "a:1"], "{}").unwrap()[0].name, "default");
        assert!(pools(&["--endpoints-file", "x"], "{}").is_ok());
        assert!(pools(&[], "{}").unwrap_err().starts_with("no endpoints"));
        assert!(pools(&["--endpoint", "a"], "{}").is_err());
        let two = "pools: [{name: a, endpoints: [a:1]}, {name: b, endpoints: [b:1]}]";
        assert_eq!(pools(&[], two).unwrap().len(), 2);
        assert!(pools(&["--endpoint", "a:1"], two).unwrap_err().ends_with("found 2"));
    }

    #[test]
    fn objectives_may_be_below_zero() {
        let args = ["llm-scraper", "--endpoint", "a:1", "--envoy", "http://b:2"];
        let objectives = ["--objective", "batch=-5", "--objective=paid=10"];
        let read = Args::try_parse_from([&args[..], &objectives].concat()).unwrap().options.pool;
        let read: Vec<_> = read.objectives.iter().map(|it| (&*it.name, it.priority.0)).collect();
        assert_eq!(read, [("batch", -5), ("paid", 10)]);
        assert!(Args::try_parse_from([&args[..], &["--objective", "paid"]].concat()).is_err());
    }
}
