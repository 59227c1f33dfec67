//! From a routed record to handlers and back: routes, filters, the handler registry, rate limits, deadlines.

pub mod artifact;
mod attempt;
mod classify;
mod contain;
pub mod delay;
mod delivery;
mod dispatcher;
mod ending;
mod filter;
mod handler;
pub mod hop;
pub mod job;
mod letter_notices;
pub mod once;
mod outages;
mod probe;
mod rate;
mod record_limits;
pub mod redaction;
mod registry;
pub mod registry_changes;
mod render;
pub mod replies;
mod report;
pub mod routes;
mod routing;
mod run;
mod selection;
mod shared;
#[cfg(test)]
mod tests;
mod topic;
mod trace;
mod worker;
mod workers;
pub mod workflow_request;

pub use delivery::{Content, Delivery};
pub use dispatcher::{Dispatcher, Parts as DispatcherParts, Settings as DispatcherSettings};

pub use filter::{Filter, FilterError};
pub use handler::{
    Asking, Context, Failure, Family, Handler, HandlerError, NewEvent, Place, Registration, Reply, Services, Step,
    Success,
};
pub use letter_notices::{LetterNotices, NOTIFICATIONS_TOPIC};
pub use outages::Outages;
pub use probe::{DEPENDENCIES, ask};
pub use record_limits::RecordLimits;
pub use registry::Handlers;
pub use render::HeaderProfile;
pub use report::{HandlerRun, Refusal, Report};
pub use routes::{Known, Route, Routes, RoutesError};
pub use routing::{Routed, Routing};
pub use selection::{Judged, Selection};
pub use topic::{ConsumedTopic, dead_letter_topic, is_dead_letter_topic, retry_topic};
#[cfg(any(test, fuzzing))]
pub(crate) use trace::is_traceparent;
pub use workers::{ResultSink, WorkerEnded, Workers};
