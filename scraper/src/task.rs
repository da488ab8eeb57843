//! A task that ends with its owner.

use std::{panic, process};

use tokio::task::{JoinError, JoinHandle};

/// A running task. Dropping it aborts the task, so that a pod taken off the list takes its
/// connection along.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// Waits until the task ends by itself.
    pub(crate) async fn join(&mut self) -> Result<(), JoinError> {
        (&mut self.0).await
    }
}

/// Has a panic end the process, once it is told of. A task that panics ends alone otherwise: without its publisher a
/// scraper would live on and make no snapshots, and nothing would start it again.
pub fn abort_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        tell(what);
        process::abort();
    }));
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
