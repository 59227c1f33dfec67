//! Webhooks: what other services post becomes events.
//!
//! ```text
//! webhook known → POST → body read → signed by who has a secret → within the window → within the rate → …
//!     404         405    408, 413, 503            401                   401              429
//! … a push:    → of a watched repository → its connector is woken → 202
//! … any other: → id reserved → published, acks=all → 202
//! ```
//!
//! A delivery is verified over its bytes as they came, before anything in them is read ([`Kind`]). What it then is, is for
//! the webhook's kind:
//!
//! | kind | what is taken | what becomes of it |
//! |---|---|---|
//! | `github`, `gitlab` | pushes of branches and tags | a wake of the repository's connector, which publishes `git.*` |
//! | `standard`, `hmac` | everything | an event of the configured type |
//!
//! Pushes are no events here, because two who publish the same pushes would double some and lose others: a poll joins the
//! pushes between two looks into one, and payloads lack parents, renames, and whatever is beyond their limits. The connector
//! alone knows what is published (`connectors::git`), so it alone publishes.
//!
//! Secrets end here: no answer and no log has one, nor says which of several was right.

mod delivery;
mod forge;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod github;
mod gitlab;
mod hmac;
mod hook;
mod mac;
mod publish;
mod receive;
mod refused;
mod standard;
mod template;
mod window;

pub use github::Github;
pub use gitlab::Gitlab;
pub use hmac::{Encoding, Hmac, Scheme};
pub use hook::{EventTarget, Kind, PushedTo, Webhook, Webhooks, WebhooksError};
pub use mac::Algorithm;
pub use standard::{BadStandardSecret, Standard};
pub use template::{BadTemplate, Template};
pub use window::Window;

pub(super) use receive::{__path_receive, receive};

#[cfg(test)]
mod tests;
