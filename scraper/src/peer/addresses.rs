//! The addresses behind a name.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::{net, time};

/// Names that are looked up at once: each takes a thread while it is.
const LOOKUPS_MAX: usize = 16;

/// Longest time for the look-ups of a list, and more of it for each name. Cluster DNS answers within milliseconds, and
/// a resolver that has no answer goes on for tens of seconds.
const LOOKUPS_TIME_MAX: Duration = Duration::from_secs(2);
const LOOKUP_TIME: Duration = Duration::from_millis(10);

/// Returns every address behind `HOST:PORT` once, in ascending order: the system's order may change
/// with each look-up and means nothing.
///
/// # Errors
/// If the name can't be looked up.
pub(crate) async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(one_family(net::lookup_host(name).await?.collect()))
}

/// Looks many names up, some at once, within a time that no resolver can draw out. A name that was not reached by then
/// has a time-out, as one without an answer has.
pub(crate) async fn look_up_all(names: Vec<String>) -> Vec<FoundName> {
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let limit = LOOKUPS_TIME_MAX + LOOKUP_TIME.saturating_mul(count);
    find_all(names, limit, async |name| look_up(name).await).await
}

/// A name with the addresses behind it, or the reason why they are not known.
pub(crate) type FoundName = (String, io::Result<Vec<SocketAddr>>);

async fn find_all(
    names: Vec<String>,
    limit: Duration,
    find: impl AsyncFn(&str) -> io::Result<Vec<SocketAddr>>,
) -> Vec<FoundName> {
    let deadline = time::Instant::now() + limit;
    let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    let find = &find;
    let found = stream::iter(names).map(async |name| {
        // None is begun behind the deadline, which would hold another thread.
        if time::Instant::now() >= deadline {
            return (name, late());
        }
        let found = time::timeout_at(deadline, find(&name)).await.unwrap_or_else(|_| late());
        (name, found)
    });
    found.buffer_unordered(LOOKUPS_MAX).collect().await
}

/// Keeps the addresses of one family. A pod of a dual-stack cluster has an address in both
/// families, and so has `localhost`: taken together they would count it twice.
pub(crate) fn one_family(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future};

    use super::*;

    #[tokio::test]
    async fn names_without_an_answer_keep_no_others_and_end() {
        let names: Vec<String> = (0..50).map(|it| format!("{it}:80")).collect();
        let asked = Cell::new(0);
        let found = find_all(names, Duration::from_millis(50), async |name| {
            asked.set(asked.get() + 1);
            let number: u16 = name.trim_end_matches(":80").parse().unwrap();
            if number % 4 == 1 {
                return future::pending().await;
            }
            Ok(vec![([10, 0, 0, 1], number + 1).into()])
        });
        let found = time::timeout(Duration::from_secs(5), found).await.expect("it has an end");
        let (good, late): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, it)| it.is_ok());
        assert_eq!((good.len(), late.len()), (37, 13));
        // The first sixteen that hang fill all places, so that none behind them would be asked without the limit.
        let hang = (0..50).map(|it| format!("{it}:80")).collect();
        let none = async |_: &str| future::pending().await;
        let all = find_all(hang, Duration::from_millis(20), none);
        assert_eq!(time::timeout(Duration::from_secs(5), all).await.unwrap().len(), 50);
    }

    #[test]
    fn a_dual_stack_name_is_one_pod() {
        let both = ["[::1]:80", "127.0.0.1:80", "127.0.0.1:80"].map(|it| it.parse().unwrap());
        assert_eq!(one_family(both.to_vec()), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(one_family(vec!["[::1]:80".parse().unwrap()]).len(), 1);
    }
}
