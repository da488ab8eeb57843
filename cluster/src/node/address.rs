//! Addresses of pods, each in a network namespace of its own behind one bridge.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::{control_plane::HOST, process::run};

/// Pods that a node starts in its life: as many as addresses follow the machine's in 10.77.0.0/16.
const ADDRESSES_MAX: u32 = 60_000;

/// Address before the first pod's: the machine has one in the 256 before.
const BEFORE_FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 0);

/// Addresses that were not given away yet; none is used twice, so that a late packet never meets another pod.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    given: u32,
}

impl Addresses {
    /// Gives the next address away.
    pub(super) fn next(&mut self) -> Result<Ipv4Addr> {
        ensure!(self.given < ADDRESSES_MAX, "all {ADDRESSES_MAX} addresses of pods are used up");
        self.given += 1;
        Ok(Ipv4Addr::from(u32::from(BEFORE_FIRST) + self.given))
    }
}

/// A network namespace with one address on the bridge.
#[derive(Debug)]
pub(super) struct PodNetwork {
    /// Name of the namespace, and of the bridge's end of its link.
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
}

impl PodNetwork {
    /// Makes the namespace.
    pub(super) async fn create(address: Ipv4Addr) -> Result<Self> {
        let [_, _, high, low] = address.octets();
        let name = format!("pod-{high}-{low}");
        let inside = format!("-n {name}");
        for command in [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name eth0 netns {name}"),
            format!("link set {name} master pods up"),
            format!("{inside} addr add {address}/16 dev eth0"),
            format!("{inside} link set lo up"),
            format!("{inside} link set eth0 up"),
            format!("{inside} route add default via {HOST}"),
        ] {
            run(Command::new("ip").args(command.split(' '))).await?;
        }
        Ok(Self { name, address })
    }

    /// Takes the namespace away, with the link to it.
    pub(super) async fn remove(&self) -> Result<()> {
        run(Command::new("ip").args(["link", "delete", &self.name])).await?;
        run(Command::new("ip").args(["netns", "delete", &self.name])).await?;
        Ok(())
    }
}
