//! The times at which a watch that failed is begun again.

use std::{
    future,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use hyper::StatusCode;
use kube::runtime::{
    utils::{Backoff, ResetTimerBackoff},
    watcher::Error,
};

use super::Change;

/// Wait behind the first failure, as Kubernetes' own clients have it. Each wait is twice the one before.
const WAIT_MIN: Duration = Duration::from_millis(800);

/// Longest wait: a pod that comes meanwhile is not seen. What the tries cost the API server is bounded by the limit of
/// requests, whatever they wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Time without a failure behind which waits are short again: a watch that fails now and then does not begin anew.
const RESET: Duration = Duration::from_secs(120);

/// Time between two lists without a wait: an API server that lets each watch expire is not listed from at full speed.
const EXPIRY_PERIOD: Duration = Duration::from_secs(5);

/// Waits between tries, which grow up to [`WAIT_MAX`] and are cut by chance, so that not all watches of an API server that comes
/// back begin at once.
#[derive(Debug)]
pub(super) struct RetryWaits {
    next: Duration,
}

/// Returns the waits of one watch.
pub(super) fn waits() -> ResetTimerBackoff<RetryWaits> {
    ResetTimerBackoff::new(RetryWaits { next: WAIT_MIN }, RESET)
}

impl Iterator for RetryWaits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = (wait * 2).min(WAIT_MAX);
        Some(wait.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

impl Backoff for RetryWaits {
    fn reset(&mut self) {
        self.next = WAIT_MIN;
    }
}

/// Takes out the news that a version has expired, which kube-rs follows with a list: it is no failure to wait behind, as an API
/// server that was away for long has forgotten all versions.
pub(super) fn list_at_once(changes: impl Stream<Item = Change>) -> impl Stream<Item = Change> {
    let mut last: Option<Instant> = None;
    changes.filter(move |change| {
        let is_news = !is_expiry(change) || last.is_some_and(|last| last.elapsed() < EXPIRY_PERIOD);
        if !is_news {
            last = Some(Instant::now());
        }
        future::ready(is_news)
    })
}

/// True for the way in which API servers end watches all the time.
fn is_expiry(change: &Change) -> bool {
    let code = match change {
        Err(Error::WatchError(status)) => status.code,
        Err(Error::WatchStartFailed(kube::Error::Api(status))) => status.code,
        _ => return false,
    };
    code == StatusCode::GONE.as_u16()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kube::runtime::watcher::Event;

    use super::*;

    fn expired() -> Change {
        let status = serde_json::json!({"status": "Failure", "message": "too old", "code": 410});
        Err(Error::WatchError(Box::new(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn waits_grow_up_to_their_limit_and_begin_anew() {
        let mut waits = RetryWaits { next: WAIT_MIN };
        let first = waits.next().unwrap();
        assert!(first >= WAIT_MIN / 2 && first <= WAIT_MIN, "{first:?}");
        for _ in 0..100 {
            let wait = waits.next().unwrap();
            assert!(wait >= WAIT_MIN && wait <= WAIT_MAX, "{wait:?}");
        }
        assert!(waits.next().unwrap() >= WAIT_MAX / 2);
        waits.reset();
        assert!(waits.next().unwrap() <= WAIT_MIN);
    }

    /// The second in a row is an error, behind which the watch waits.
    #[tokio::test]
    async fn an_expired_version_is_no_error_at_first() {
        let changes = stream::iter([expired(), Ok(Event::Init), expired(), Ok(Event::InitDone)]);
        let left: Vec<_> = list_at_once(changes).collect().await;
        let kinds: Vec<_> = left.iter().map(Result::is_ok).collect();
        assert_eq!(kinds, [true, false, true]);
    }
}
