//! From a routed record to handlers and back: routes, filters, the handler registry, rate limits, deadlines.

pub mod delay;
mod filter;
mod handler;
pub mod routes;
mod topic;

pub use filter::{Filter, FilterError};
pub use handler::{Context, Failure, Handler, HandlerError, NewEvent, Registration, Services, Step, Success};
pub use routes::{Known, Route, Routes, RoutesError};
pub use topic::{ConsumedTopic, dead_letter_topic, retry_topic};
