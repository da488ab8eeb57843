//! A container's readiness probe.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{items, text};

/// Time that an answer may take.
const ANSWER: Duration = Duration::from_millis(500);

/// Time between two questions, whatever the pod asks for: stories wait for readiness.
const PERIOD: Duration = Duration::from_millis(500);

/// Questions in a row without a good answer after which a container is not ready any more, as is Kubernetes' default.
const FAILURES_MAX: u32 = 3;

/// The HTTP question that tells whether a container is ready.
#[derive(Debug)]
pub(super) struct Probe {
    address: SocketAddr,
    path: String,
    next: Instant,
    failures: u32,
}

impl Probe {
    /// Reads a container's probe; `None` for one that is ready once it runs.
    pub(super) fn of(container: &Value, address: Ipv4Addr) -> Option<Self> {
        let get = container.pointer("/readinessProbe/httpGet")?;
        let port = get.get("port")?;
        let named = |name: &str| {
            let port = items(container, "/ports").iter().find(|it| text(it, "/name") == name);
            port.and_then(|port| port.get("containerPort")).and_then(Value::as_u64)
        };
        let port = port.as_u64().or_else(|| named(port.as_str()?))?;
        let address = SocketAddr::new(IpAddr::V4(address), u16::try_from(port).ok()?);
        let path = text(get, "/path").to_owned();
        Some(Self { address, path, next: Instant::now(), failures: 0 })
    }

    /// Asks if it is time to, and returns whether the container is ready, which it was as `before` says.
    pub(super) async fn answer(&mut self, before: bool) -> bool {
        if self.next > Instant::now() {
            return before;
        }
        self.next = Instant::now() + PERIOD;
        let asked = timeout(ANSWER, stack::get(self.address, &self.path)).await;
        let is_good = matches!(asked, Ok(Ok(answer)) if (200..400).contains(&answer.status));
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        is_good || (before && self.failures < FAILURES_MAX)
    }
}
