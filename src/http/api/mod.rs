//! The HTTP API: requests that somebody authenticated sends become events on `coafi.api`.
//!
//! ```text
//! endpoint known → who asks → within the rate → permitted → body read → body valid → id reserved → published, acks=all → 202
//!    404, 405        401          429            403      408, 413, 415     400           409            503
//! ```
//!
//! Everything else is for handlers: the API refuses to know what a request does. It keeps no event: what it has answered
//! with 202 is in Kafka, on every in-sync replica. Errors are RFC 9457 problem documents. Tokens and keys end here; events
//! carry the principal's name.
//!
//! [`webhooks`] is the other way in, for senders that sign what they send and cannot be told how to ask; other domains have one
//! of their own.

mod accept;
mod answer;
mod auth;
mod body;
mod cloud_events;
mod cursor;
mod endpoint;
mod events;
mod federated;
#[cfg(any(test, fuzzing))]
mod fuzzing;
#[cfg(test)]
mod golden;
mod idempotency;
mod ingest;
mod jwks;
mod jwt;
mod keys;
mod measured;
mod openapi;
mod outcomes;
mod page;
mod prefer;
mod principal;
mod problem;
mod rate;
mod refusals;
mod registries;
mod room;
mod router;
mod status;
mod trace;
pub mod webhooks;

pub use auth::{AuthError, Authenticator, JwtSettings};
pub use body::BodyLimits;
pub use endpoint::{Catalogue, CatalogueError, Endpoint, EndpointFile, KEY_BYTES_MAX};
pub use events::AuditReads;
pub use federated::Domains;
pub use ingest::INGEST_TOPIC;
pub use keys::{KeyEntry, NewKey};
pub use outcomes::Outcomes;
pub use problem::Problem;
pub use rate::Rate;
pub use router::{API_SOURCE, API_TOPIC, Api, Parts};

/// The API with these endpoints as an OpenAPI 3.1 document.
#[must_use]
pub fn document(catalogue: &Catalogue) -> serde_json::Value {
    openapi::document(catalogue)
}
