//! Task ownership: every task has a name, an owner, a way to stop, and a result that somebody looks at.

use std::collections::HashMap;
use std::error::Error;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

type TaskResult = Result<(), Box<dyn Error + Send + Sync>>;

/// The tasks of one owner. One that fails or panics stops the others.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<TaskResult>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

/// The task that ended its siblings.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("{task} failed")]
    Failed { task: &'static str, source: Box<dyn Error + Send + Sync> },
    #[error("{task} panicked: {message}")]
    Panicked { task: &'static str, message: String },
}

impl Tasks {
    /// `stop` tells every task to end; it is cancelled when one of them fails.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), stop }
    }

    /// What tasks are given to know when to end.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task. `name` is how an error calls it, e.g. `the HTTP server`.
    pub fn spawn<E>(&mut self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let handle = self.set.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Waits until every task has ended. The first failure stops the others and is the result.
    ///
    /// # Errors
    /// The first task that failed or panicked.
    pub async fn join(mut self) -> Result<(), TaskError> {
        let mut first = None;
        while let Some(ended) = self.set.join_next_with_id().await {
            let Some(error) = self.error_of(ended) else { continue };
            if first.is_none() {
                self.stop.cancel();
                first = Some(error);
            } else {
                tracing::error!(error = &error as &dyn Error, "a task failed while the others were ending");
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn error_of(&mut self, ended: Result<(Id, TaskResult), tokio::task::JoinError>) -> Option<TaskError> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let task = self.names.remove(&id).unwrap_or("a task");
        match ended {
            Ok((_, result)) => result.err().map(|source| TaskError::Failed { task, source }),
            Err(error) => {
                let panic = error.try_into_panic().ok()?;
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let message = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned();
                Some(TaskError::Panicked { task, message })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until_stopped(tasks: &mut Tasks) {
        let stop = tasks.stop();
        tasks.spawn("waiting", async move {
            stop.cancelled().await;
            Ok::<_, std::io::Error>(())
        });
    }

    #[tokio::test]
    async fn a_failure_stops_the_others_and_is_named() {
        let mut tasks = Tasks::new(CancellationToken::new());
        until_stopped(&mut tasks);
        tasks.spawn("the poll loop", async { Err(std::io::Error::other("gone")) });
        assert_eq!(tasks.join().await.unwrap_err().to_string(), "the poll loop failed");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let mut tasks = Tasks::new(CancellationToken::new());
        until_stopped(&mut tasks);
        tasks.spawn("the poll loop", async {
            assert!(std::hint::black_box(false), "never");
            Ok::<_, std::io::Error>(())
        });
        assert_eq!(tasks.join().await.unwrap_err().to_string(), "the poll loop panicked: never");
    }

    #[tokio::test]
    async fn told_to_stop_all_end_well() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        until_stopped(&mut tasks);
        until_stopped(&mut tasks);
        stop.cancel();
        tasks.join().await.unwrap();
    }
}
