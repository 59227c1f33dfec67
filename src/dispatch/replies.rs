//! Replies: who wants one, and what writes them. What they say is [`super::render`]'s.

use super::Failure;
use crate::event::{Attribute, Event};
use crate::schema::payloads::ApiReply;
use crate::schema::{Codec, Encoder};

/// Where replies go, and what an event's `replyto` names that wants one. Nothing else is heeded: an event does not say where
/// this process writes.
pub const RESULTS_TOPIC: &str = "coafi.results";

/// Whether somebody waits for how the event ends.
#[must_use]
pub fn wants_reply(event: &Event) -> bool {
    event.attribute(Attribute::ReplyTo) == Some(RESULTS_TOPIC)
}

/// Writes replies: the schema's id is asked for once.
///
/// # Errors
/// Systemic: the registry does not answer, or does not have the schema.
pub async fn encoder(codec: &Codec) -> Result<Encoder<ApiReply>, Failure> {
    codec.encoder(RESULTS_TOPIC).await
}
