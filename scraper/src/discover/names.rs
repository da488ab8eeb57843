//! The addresses behind the names of a list.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::{
    peer,
    pool::{Pod, PodOrigin},
    settings::Target,
};

/// Time after which names are looked up again: a headless Service's pods come and go behind one
/// name, and cluster DNS caches for 5 s or longer by default.
const INTERVAL: Duration = Duration::from_secs(5);

/// Addresses of names, kept when a later look-up fails.
#[derive(Debug, Default)]
pub(super) struct NameCache {
    known: BTreeMap<String, Vec<SocketAddr>>,
    /// Names that could not be looked up the last time.
    failing: HashSet<String>,
    looked_up: Option<Instant>,
}

impl NameCache {
    /// True if there are names, and it is time to look them up again.
    pub(super) fn are_old(&self) -> bool {
        let any = !self.known.is_empty() || !self.failing.is_empty();
        any && self.looked_up.is_none_or(|at| at.elapsed() >= INTERVAL)
    }

    /// Looks every name up.
    pub(super) async fn look_up(&mut self, targets: &[Target]) {
        self.looked_up = Some(Instant::now());
        let is_name = |name: &&str| name.parse::<SocketAddr>().is_err();
        let names = targets.iter().map(|target| target.authority.as_str()).filter(is_name);
        for (name, found) in peer::look_up_all(names.map(str::to_owned).collect()).await {
            match found {
                Ok(addresses) => {
                    if self.failing.remove(&name) {
                        info!("{name} can be looked up again");
                    }
                    self.known.insert(name, addresses);
                }
                Err(why) if !self.failing.contains(&name) => {
                    warn!("failed to look up {name}: {why}");
                    self.failing.insert(name);
                }
                Err(_) => (),
            }
        }
        let listed: HashSet<_> = targets.iter().map(|target| &target.authority).collect();
        self.known.retain(|name, _| listed.contains(name));
        self.failing.retain(|name| listed.contains(name));
    }

    /// Returns a pod for every address, each once; the first mention has its place and labels.
    /// Returns `None` if there is no address only because look-ups fail: an empty list would tell
    /// the Envoys that the pool is scaled to zero, and a scraper that starts while DNS is away does
    /// not know that.
    pub(super) fn pods(&self, targets: &[Target]) -> Option<Vec<Pod>> {
        let mut pods = Vec::new();
        let mut seen = HashSet::new();
        for target in targets {
            for address in self.addresses(&target.authority) {
                if seen.insert(address) {
                    let labels = target.labels.clone();
                    pods.push(Pod { address, labels, http2: false, origin: PodOrigin::default() });
                }
            }
        }
        (!pods.is_empty() || self.failing.is_empty()).then_some(pods)
    }

    fn addresses(&self, authority: &str) -> Vec<SocketAddr> {
        match authority.parse() {
            Ok(address) => vec![address],
            Err(_) => self.known.get(authority).cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_once_and_the_first_mention_has_it() {
        let targets = ["10.0.0.1:80 a=1", "svc:80 b=2", "nowhere:80"].map(|it| it.parse().unwrap());
        let mut names = NameCache::default();
        let behind = ["10.0.0.2:80", "10.0.0.1:80"].map(|it| it.parse().unwrap());
        names.known.insert("svc:80".to_owned(), behind.to_vec());
        let pods: Vec<_> =
            names.pods(&targets).unwrap().iter().map(|pod| format!("{pod:?}")).collect();
        insta::assert_snapshot!(pods.join("\n"), @r#"
        Pod { address: 10.0.0.1:80, labels: [("a", "1")], http2: false, origin: PodOrigin { uid: "", created_ms: None } }
        Pod { address: 10.0.0.2:80, labels: [("b", "2")], http2: false, origin: PodOrigin { uid: "", created_ms: None } }
        "#);
    }

    #[test]
    fn without_dns_a_pool_is_unknown_and_not_empty() {
        let targets = ["svc:80".parse().unwrap()];
        let mut names = NameCache::default();
        names.failing.insert("svc:80".to_owned());
        assert_eq!(names.pods(&targets), None);
        assert_eq!(NameCache::default().pods(&[]), Some(Vec::new()), "scaled to zero");

        names.known.insert("svc:80".to_owned(), vec!["10.0.0.1:80".parse().unwrap()]);
        assert_eq!(names.pods(&targets).unwrap().len(), 1, "it was known before");
    }
}
