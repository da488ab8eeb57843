//! By how near a pod is to the one of an earlier stage (EPP: topology-affinity-filter).

use crate::{
    pool::{Candidate, EndpointState},
    schedule::score::{Level, Topology},
};

/// Keeps the pods that share this level with the peer, or a tighter one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyFloor {
    /// Labels in which pods say where they are.
    pub topology: Topology,
    /// The loosest level that is near enough (EPP: minAffinity).
    pub level: Level,
}

impl TopologyFloor {
    /// Drops the pods that are too far from the peer. All are kept where there is no peer, or none
    /// is near enough: nearness must not make a request unroutable.
    pub(super) fn apply(&self, peer: Option<&EndpointState>, candidates: &mut Vec<Candidate<'_>>) {
        let Some(peer) = peer else { return };
        let is_near = |it: &Candidate<'_>| {
            self.topology.nearest(it.member, peer).is_some_and(|level| level <= self.level)
        };
        if candidates.iter().any(is_near) {
            candidates.retain(is_near);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::member;

    #[test]
    fn as_in_the_epp() {
        let place = |host, zone| {
            member(&[("kubernetes.io/hostname", host), ("topology.kubernetes.io/zone", zone)])
        };
        let members = [place("a", "z"), place("b", "z"), place("c", "y"), member(&[])];
        let kept = |level, peer: Option<&EndpointState>| {
            let mut candidates: Vec<_> = members.iter().map(|it| Candidate::idle(it, 0)).collect();
            TopologyFloor { level, ..TopologyFloor::default() }.apply(peer, &mut candidates);
            candidates.len()
        };
        let peer = place("a", "z");
        let levels = Level::NAMED.map(|(_, level)| kept(level, Some(&peer)));
        assert_eq!(levels, [1, 1, 2, 2]);
        assert_eq!(kept(Level::Host, None), 4, "nobody to be near to");
        assert_eq!(kept(Level::Host, Some(&place("x", "x"))), 4, "nobody near");
    }
}
