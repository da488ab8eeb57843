//! A task that ends with its owner.

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

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
