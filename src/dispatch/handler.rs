//! What a handler is. A new handler is a new file in `src/handlers/` with an [`inventory::submit!`] of a
//! [`Registration`]; no list names it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::probe;
use crate::engine::{Class, Dependency};
use crate::event::Event;
use crate::schema::Codec;
use crate::store::{Fence, Store};

/// Acts on events. One instance serves all of them, concurrently; order within a lane is kept by the engine.
///
/// A handler may be started again for the same event (crash, transient failure): effects go through [`Store::commit`]
/// with the event's inbox key, which makes them exactly-once, or are idempotent. A failure after the effect of an earlier run
/// counts as that run's success (see [`super::once`]).
#[async_trait]
pub trait Handler: Send + Sync {
    /// # Errors
    /// [`Failure`] with a class; the engine decides what follows (see [`Class`]).
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure>;

    /// Whether it may write log lines. Only a handler that never does may say `false`: it is spared the span that puts the
    /// event's ids on each line.
    fn logs(&self) -> bool {
        true
    }
}

/// What one attempt gets besides the event.
pub struct Context<'a> {
    pub services: &'a Services,
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// The handler's name, as the route gives it.
    pub handler: &'a str,
    /// Which run over the topics this is (`kafka.run`); empty for the first.
    pub run: &'a str,
    /// Where the event stands in its source topic.
    pub place: Place<'a>,
    /// Proof of ownership for database writes (I4).
    pub fence: &'a Fence,
    /// What it asks.
    pub asking: Asking,
}

/// The dependency that a handler has asked last.
#[derive(Debug, Default)]
pub struct Asking(Mutex<Option<Dependency>>);

impl Asking {
    pub(super) fn last(&self) -> Option<Dependency> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Context<'_> {
    /// Before a dependency is asked that may be away: should the handler be given up while it waits for it, that is its fault.
    ///
    /// # Errors
    /// Systemic: it is down, and not to be asked.
    pub fn asks(&self, dependency: &str) -> Result<(), Failure> {
        self.services.outages.check(dependency)?;
        *self.asking.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Dependency::new(dependency));
        Ok(())
    }

    /// Why there is no answer within `waited`, if it is that what was asked last is away.
    pub async fn hangs(&self, waited: Duration) -> Option<Failure> {
        probe::hanging(self.services, self.asking.last().iter(), waited).await
    }
}

/// A record's place in a source topic. A record on a retry topic has that of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
}

/// What handlers reach the world through. Injected; tests put doubles here.
pub struct Services {
    pub codec: Codec,
    pub store: Arc<dyn Store>,
    /// Generated documents, reports and other files.
    pub artifacts: Arc<dyn object_store::ObjectStore>,
    /// Git repositories, local or mirrored.
    pub repositories: Arc<crate::connectors::git::Repositories>,
    /// JSON Schemas by type and path.
    pub json_schemas: Arc<crate::schema::json::JsonSchemas>,
    /// Definitions of workflows.
    pub workflows: Arc<crate::workflow::Definitions>,
    /// Servers that are called by name.
    pub endpoints: Arc<crate::outgoing::Endpoints>,
    /// What holds of single registries.
    pub registries: Arc<crate::registry::Rules>,
    /// Channels that people are told by.
    pub notifier: Arc<crate::notify::Notifier>,
    /// What is down.
    pub outages: super::Outages,
}

/// How a handler registers itself.
pub struct Registration {
    /// The name that routes use, snake_case.
    pub name: &'static str,
    /// One sentence for `coafi routes explain`.
    pub summary: &'static str,
    pub build: fn(&Services) -> anyhow::Result<Arc<dyn Handler>>,
}

inventory::collect!(Registration);

/// How handlers register themselves that are as many as the configuration has names for: `http:enrich`, `http:notify`, …
pub struct Family {
    /// Before the name, its colon included.
    pub prefix: &'static str,
    /// One sentence for the log.
    pub summary: &'static str,
    /// Given the name without the prefix. Which names there are is checked when routes are read ([`super::Known`]).
    pub build: fn(&str, &Services) -> anyhow::Result<Arc<dyn Handler>>,
}

inventory::collect!(Family);

/// What a handler did. Becomes the `result` of the outcome record.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Success {
    pub message: String,
    #[serde(rename = "workflowId", skip_serializing_if = "Option::is_none", default)]
    pub workflow_id: Option<String>,
    /// Data for the caller, JSON.
    #[serde(skip_serializing_if = "serde_json::Value::is_null", default)]
    pub data: serde_json::Value,
    #[serde(rename = "filesProcessed", skip_serializing_if = "Option::is_none", default)]
    pub files_processed: Option<u32>,
    /// What happened on the way, in order; each becomes a step of the outcome record.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub steps: Vec<Step>,
    /// Derived events, produced in the same transaction as the outcome.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub emit: Vec<NewEvent>,
    /// For the caller who waits for this, if anybody does; else that one gets the message, id and data above.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<Reply>,
    /// An isolated replay has called nobody: what this would have come to is not known.
    #[serde(rename = "notCalled", skip_serializing_if = "std::ops::Not::not", default)]
    pub not_called: bool,
}

/// What a caller is answered.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Reply {
    /// As an HTTP status.
    pub status: u16,
    pub body: serde_json::Value,
}

/// One step on the way to an outcome, such as `FILE_PROCESSED` (`bitt.md` lists the types).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON object with the step's own members, e.g. `filePath`, `validation`.
    pub detail: serde_json::Value,
}

/// An event that a handler derives. Its causation id is the handled event's id and its correlation id is inherited.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NewEvent {
    pub topic: String,
    /// Deterministic: a re-run must derive the same id (I9).
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub subject: Option<String>,
    pub key: String,
    /// Runs of workflows that led to it; else as many as led to the handled event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workflow_hops: Option<u32>,
    /// Whose it is; else whose the handled event is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tenant: Option<String>,
    /// Confluent wire format, from [`Codec::encode`].
    pub data: Bytes,
}

/// Why an attempt failed, and what class of failure that is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    pub class: Class,
    /// A short constant, snake_case: the same cause has the same code.
    pub code: &'static str,
    /// The one thing that this is the trouble of, where the event names it. Failures of different things are different
    /// errors: many at the same time are no outage of what they have in common.
    pub about: Option<String>,
    pub message: String,
    /// Single errors, for validation failures.
    pub errors: Vec<String>,
    pub steps: Vec<Step>,
    /// What a caller is told who waits for this, where 400 would say too little of what is invalid. As an HTTP status.
    pub status: Option<u16>,
    /// Of a transient failure: the next attempt is made no sooner than this, as far as the route's retries allow.
    pub retry_after: Option<Duration>,
    /// An event that follows if the handled one becomes a dead letter by this, in the same transaction. None does otherwise.
    pub on_dead_letter: Option<Box<NewEvent>>,
}

impl Failure {
    /// The code of a write that the store refused, because the partition has a newer owner: [`crate::engine::Attempt::Fenced`].
    pub const FENCED: &'static str = "fenced";

    #[must_use]
    pub fn new(class: Class, code: &'static str, message: impl std::fmt::Display) -> Self {
        Self {
            class,
            code,
            about: None,
            message: message.to_string(),
            errors: Vec::new(),
            steps: Vec::new(),
            status: None,
            retry_after: None,
            on_dead_letter: None,
        }
    }

    /// Narrows the failure to one thing, by its name (see [`Self::about`]).
    #[must_use]
    pub fn about(mut self, thing: impl Into<String>) -> Self {
        self.about = Some(thing.into());
        self
    }

    /// See [`Self::status`].
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// See [`Self::retry_after`].
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    #[must_use]
    pub fn poison(code: &'static str, message: impl std::fmt::Display) -> Self {
        Self::new(Class::Poison, code, message)
    }

    #[must_use]
    pub fn invalid(code: &'static str, message: impl std::fmt::Display) -> Self {
        Self::new(Class::Invalid, code, message)
    }

    #[must_use]
    pub fn permanent(code: &'static str, message: impl std::fmt::Display) -> Self {
        Self::new(Class::Permanent, code, message)
    }

    #[must_use]
    pub fn transient(code: &'static str, message: impl std::fmt::Display) -> Self {
        Self::new(Class::Transient, code, message)
    }

    /// `dependency`: a constant of [`Dependency`], or a name of the handler's own. From then on its outage stops the route,
    /// declared or not; that of one of many ([`Dependency::is_one_of_many`]) only the events that fail for want of it.
    #[must_use]
    pub fn systemic(dependency: &str, code: &'static str, message: impl std::fmt::Display) -> Self {
        Self::new(Class::Systemic(Dependency::new(dependency)), code, message)
    }
}

/// A handler that cannot be made or found.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    #[error("no handler is registered under {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("handler {name:?} is registered twice; every handler has a name of its own")]
    Duplicate { name: &'static str },
    #[error("handler {name:?} cannot start: {source}")]
    Build { name: String, source: anyhow::Error },
}
