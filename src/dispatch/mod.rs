//! From a routed record to handlers and back: routes, filters, the handler registry, rate limits, deadlines.

mod handler;

pub use handler::{Context, Failure, Handler, HandlerError, NewEvent, Registration, Services, Step, Success};
