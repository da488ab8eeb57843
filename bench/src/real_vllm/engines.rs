//! The servers' own figures.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Prompt tokens that engines have looked up in their prefix caches, and those that they found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cached {
    pub(super) queried: f64,
    pub(super) found: f64,
}

/// Returns the first model that a server serves.
pub(super) async fn model(server: SocketAddr) -> Result<String> {
    let models = stack::get(server, "/v1/models").await.with_context(|| server.to_string())?;
    ensure!(models.status == 200, "{server}/v1/models: {}", models.status);
    let models: Value = serde_json::from_str(&models.body)?;
    let model = models.pointer("/data/0/id").and_then(Value::as_str);
    Ok(model.with_context(|| format!("{server}/v1/models: no model"))?.to_owned())
}

/// Returns the counts of all servers together so far.
pub(super) async fn cached(servers: &[SocketAddr]) -> Result<Cached> {
    let mut all = Cached::default();
    for server in servers {
        let page = stack::get(*server, "/metrics").await.with_context(|| server.to_string())?;
        let of_server = counted(&page.body);
        (all.queried, all.found) = (all.queried + of_server.queried, all.found + of_server.found);
    }
    Ok(all)
}

fn counted(page: &str) -> Cached {
    let sum = |name: &str| -> f64 {
        let lines = page.lines().filter_map(|line| line.strip_prefix(name));
        let values = lines.filter(|rest| rest.starts_with(['{', ' ']));
        values.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    Cached {
        queried: sum("vllm:prefix_cache_queries_total"),
        found: sum("vllm:prefix_cache_hits_total"),
    }
}

impl Cached {
    /// Returns what was counted since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { queried: self.queried - earlier.queried, found: self.found - earlier.found }
    }

    /// Returns the hits in percent of the tokens looked up.
    pub(super) fn percent(self) -> f64 {
        100.0 * self.found / self.queried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_engines_of_a_page_are_summed() {
        let page = "# TYPE vllm:prefix_cache_hits counter\n\
            vllm:prefix_cache_hits_total{engine=\"0\"} 30.0\nvllm:prefix_cache_hits_total{engine=\"1\"} 10.0\n\
            vllm:prefix_cache_hits_created{engine=\"0\"} 1.7e+09\nvllm:prefix_cache_queries_total{engine=\"0\"} 80.0\n";
        assert_eq!(counted(page), Cached { queried: 80.0, found: 40.0 });
        assert!((counted(page).percent() - 50.0).abs() < 1e-9);
    }
}
