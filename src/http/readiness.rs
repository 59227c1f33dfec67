//! What must hold before this replica is given work.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde::Serialize;

/// One thing that must hold.
#[async_trait]
pub trait Condition: Send + Sync {
    /// How `/ready` names it, e.g. `database`.
    fn name(&self) -> &str;

    /// # Errors
    /// Why it does not hold, in words.
    async fn check(&self) -> Result<(), String>;
}

/// Checks all conditions at once.
#[derive(Clone)]
pub struct Readiness {
    conditions: Vec<Arc<dyn Condition>>,
    timeout: Duration,
}

/// The answer of `/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub ready: bool,
    /// Every condition; `null` where it holds, else why it does not.
    pub conditions: std::collections::BTreeMap<String, Option<String>>,
}

impl Readiness {
    /// `timeout` is for each condition; one that does not answer in time does not hold.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { conditions: Vec::new(), timeout }
    }

    #[must_use]
    pub fn with(mut self, condition: impl Condition + 'static) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    pub async fn report(&self) -> Report {
        let checks = self.conditions.iter().map(|condition| async move {
            let answer = tokio::time::timeout(self.timeout, condition.check()).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} ms", self.timeout.as_millis())));
            (condition.name().to_owned(), answer.err())
        });
        let conditions: std::collections::BTreeMap<_, _> = join_all(checks).await.into_iter().collect();
        Report { ready: conditions.values().all(Option::is_none), conditions }
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.conditions.iter().map(|condition| condition.name()).collect();
        f.debug_struct("Readiness").field("conditions", &names).field("timeout", &self.timeout).finish()
    }
}

/// A condition that is known without asking anybody, such as group membership.
pub struct Said<F> {
    name: &'static str,
    says: F,
}

impl<F: Fn() -> Result<(), String> + Send + Sync> Said<F> {
    pub const fn new(name: &'static str, says: F) -> Self {
        Self { name, says }
    }
}

#[async_trait]
impl<F: Fn() -> Result<(), String> + Send + Sync> Condition for Said<F> {
    fn name(&self) -> &str {
        self.name
    }

    async fn check(&self) -> Result<(), String> {
        (self.says)()
    }
}
