//! Notifications: which channels are told, what the messages look like, and how they are sent.
//!
//! | what | where |
//! |---|---|
//! | channels and rules, as they are configured | [`Channel`], [`Rule`] |
//! | a notification's text and a message's layout, by templates with bounds | [`Templates`] |
//! | a message as each kind of channel takes it | `render` |
//! | one message sent, and what the answer means | [`Notifier`] |
//!
//! It refuses to know who asks, what was said before, and how often a message is tried: that is the handlers', the store's
//! and the routes'. A message may be sent twice, after a crash: it carries the same id then.

#![allow(clippy::disallowed_methods, reason = "edge: servers of others, and the time that messages carry")]

mod channel;
mod email;
mod notifier;
mod post;
mod render;
mod rule;
mod severity;
mod templates;

pub use channel::{Alertmanager, Channel, ChannelKind, Email, SmtpTls, Webhook};
pub use notifier::{NOTIFY, Notifier, NotifierError, NotifierParts, SendError, Sent};
pub use rule::{DeadLetterRule, Pace, Rule};
pub use severity::Severity;
pub use templates::{TemplateError, Templates};
