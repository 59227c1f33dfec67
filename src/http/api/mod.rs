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
//! [`webhooks`] is the other way in, for senders that sign what they send and cannot be told how to ask.

mod accept;
mod auth;
mod body;
mod endpoint;
mod idempotency;
mod jwks;
mod jwt;
mod keys;
mod outcomes;
mod prefer;
mod principal;
mod problem;
mod rate;
mod router;
mod status;
pub mod webhooks;

pub use auth::{AuthError, Authenticator, JwtSettings};
pub use body::BodyLimits;
pub use endpoint::{Catalogue, CatalogueError, Endpoint, EndpointFile};
pub use keys::{KeyEntry, NewKey};
pub use outcomes::Outcomes;
pub use problem::Problem;
pub use rate::Rate;
pub use router::{API_SOURCE, API_TOPIC, Api, Parts};
