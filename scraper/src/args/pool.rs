//! Flags that describe a pool.

use std::path::PathBuf;

use clap::Args;
use picker_core::Objective;
use scraper::{
    objectives::{self, Objectives},
    settings::{Discovery, InferencePool, MetricsSource, PoolSettings, pool_name},
    targets::{Listed, Target},
};
use wire::metrics::Engines;

/// One pool without a file, or changes to the file's only one.
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

    /// More of them, one "HOST:PORT [key=value ...]" per line, the keys being pod labels; # starts a
    /// comment. Read again when it changes; a broken file leaves the last good list in place
    #[arg(long, value_name = "FILE", env = "LLM_SCRAPER_ENDPOINTS_FILE")]
    endpoints_file: Option<PathBuf>,

    /// In place of a list: an InferencePool of Kubernetes, by its name and namespace
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME",
        env = "LLM_SCRAPER_INFERENCE_POOL",
        value_parser = InferencePool::parse,
        conflicts_with_all = ["endpoints", "endpoints_file"]
    )]
    inference_pool: Option<InferencePool>,

    /// An objective that requests may name, and its priority; repeatable. Higher goes first, below
    /// zero may be shed. One of the same name in the plugin's configuration wins
    #[arg(long = "objective", value_name = "NAME=PRIORITY", value_parser = objectives::parse)]
    objectives: Vec<Objective>,
}

impl PoolArgs {
    /// The file's pools with these changes.
    pub(super) fn over(self, mut pools: Vec<PoolSettings>) -> Result<Vec<PoolSettings>, String> {
        if self == Self::default() && !pools.is_empty() {
            return Ok(pools);
        }
        let file = match (pools.pop(), pools.len()) {
            (file, 0) => file,
            (_, others) => {
                let found = others + 1;
                return Err(format!(
                    "flags that describe a pool go with a file of one pool, and it has {found}"
                ));
            }
        };
        Ok(vec![self.over_one(file)?])
    }

    fn over_one(self, file: Option<PoolSettings>) -> Result<PoolSettings, String> {
        let listed = !self.endpoints.is_empty() || self.endpoints_file.is_some();
        let listed = listed.then_some(Discovery::Listed(Listed {
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
                    Discovery::Listed(_) => "default".to_owned(),
                },
                discovery: discovery.clone(),
                objectives: Objectives::default(),
                engines: Engines::default(),
                source: MetricsSource::default(),
            },
            (None, None) => {
                return Err(
                    "no endpoints: give --endpoint, --endpoints-file, --inference-pool, or a \
                            pool in --config"
                        .to_owned(),
                );
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
    use crate::args::Args;

    fn pools(args: &[&str], file: &str) -> Result<Vec<PoolSettings>, String> {
        let args = Args::try_parse_from([&["llm-scraper"], args].concat());
        let args = args.map_err(|why| why.to_string())?;
        args.options.pool.over(config::parse(file).unwrap().pools)
    }

    #[test]
    fn flags_come_before_the_file() {
        let file = "pools: [{name: chat, endpoints: [a:1], objectives: [{name: paid}]}]";
        let of = |args: &[&str]| pools(args, file).unwrap().remove(0);
        assert_eq!(of(&[]), config::parse(file).unwrap().pools.remove(0));
        let changed = of(&["--endpoint", "b:2"]);
        assert_eq!(changed.name, "chat");
        assert_eq!(changed.objectives, of(&[]).objectives);
        let endpoints = vec!["b:2".parse().unwrap()];
        assert_eq!(changed.discovery, Discovery::Listed(Listed { endpoints, file: None }));
        let pool = InferencePool::parse("demo/qwen").unwrap();
        let changed = of(&["--inference-pool", "demo/qwen"]);
        assert_eq!(changed.discovery, Discovery::InferencePool(pool));
        assert_eq!(of(&["--pool", "code"]).name, "code");
    }

    #[test]
    fn there_is_a_pool_by_flags_or_by_file() {
        assert_eq!(pools(&["--endpoint", "a:1"], "{}").unwrap()[0].name, "default");
        assert!(pools(&["--endpoints-file", "x"], "{}").is_ok());
        assert!(pools(&[], "{}").unwrap_err().starts_with("no endpoints"));
        assert!(pools(&["--endpoint", "a"], "{}").is_err());
        let two = "pools: [{name: a, endpoints: [a:1]}, {name: b, endpoints: [b:1]}]";
        assert_eq!(pools(&[], two).unwrap().len(), 2);
        assert!(pools(&["--endpoint", "a:1"], two).unwrap_err().ends_with("and it has 2"));
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
