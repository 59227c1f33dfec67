//! Calls to servers of others: bounded in time and size, signed, and never to where nobody may send them.
//!
//! A [`Client`] follows no redirect, reads no proxy from the environment, and connects to public addresses only, but for those
//! that `outgoing.allow` names: an address is judged after its name was resolved, and it is the one that is connected to. What
//! an answer means is for its callers to know.

#![allow(clippy::disallowed_methods, reason = "edge: calls to servers of others, and their signatures' time")]

mod client;
mod endpoints;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod guard;
pub(crate) mod standard_webhooks;

pub use client::{Answer, CallError, Client, Request};
pub use endpoints::{Called, Endpoint, EndpointError, Endpoints, HTTP_ENDPOINT, Message};
pub use guard::{Allowed, BadAllowed, Guard, Refused};
pub use standard_webhooks::{BadSecret, Signer};
