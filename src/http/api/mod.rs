//! The HTTP API: requests that somebody authenticated sends become events on `coafi.api`.
//!
//! ```text
//! endpoint known → who asks → permitted → within the rate → body read → body valid → published, acks=all → 202
//!    404, 405        401        403          429          408, 413, 415     400           503
//! ```
//!
//! Everything else is for handlers: the API refuses to know what a request does. It keeps no event: what it has answered
//! with 202 is in Kafka, on every in-sync replica. Errors are RFC 9457 problem documents. Tokens and keys end here; events
//! carry the principal's name.

mod accept;
mod auth;
mod body;
mod endpoint;
mod jwks;
mod jwt;
mod keys;
mod principal;
mod problem;
mod rate;
mod router;

pub use auth::{AuthError, Authenticator, JwtSettings};
pub use body::BodyLimits;
pub use endpoint::{Catalogue, CatalogueError, Endpoint, EndpointFile};
pub use keys::{KeyEntry, NewKey};
pub use problem::Problem;
pub use rate::Rate;
pub use router::{API_SOURCE, API_TOPIC, Api, Parts};
