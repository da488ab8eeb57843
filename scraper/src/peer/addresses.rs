//! The addresses behind a name.

use std::{io, net::SocketAddr};

use tokio::net;

/// Returns every address behind `HOST:PORT` once, in ascending order: the system's order may change
/// with each look-up and means nothing.
///
/// # Errors
/// If the name can't be looked up.
pub(crate) async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(one_family(net::lookup_host(name).await?.collect()))
}

/// Keeps the addresses of one family. A pod of a dual-stack cluster has an address in both
/// families, and so has `localhost`: taken together they would count it twice.
fn one_family(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dual_stack_name_is_one_pod() {
        let both = ["[::1]:80", "127.0.0.1:80", "127.0.0.1:80"].map(|it| it.parse().unwrap());
        assert_eq!(one_family(both.to_vec()), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(one_family(vec!["[::1]:80".parse().unwrap()]).len(), 1);
    }
}
