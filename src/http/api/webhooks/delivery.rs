//! A delivery that is believed.

use crate::http::api::idempotency::digest;

/// Of an id that a sender chose: it becomes an event's id.
const ID_BYTES_MAX: usize = 255;

/// What its sender calls it: the same whenever it is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeliveryId(String);

impl DeliveryId {
    /// The sender's own, cut down to its hash where it is longer than an event's id should be.
    pub(super) fn given(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() || text.len() > ID_BYTES_MAX { Self::of(&[text.as_bytes()]) } else { Self(text.to_owned()) }
    }

    /// Of a sender that gives none: deliveries of the same content are the same.
    pub(super) fn of(content: &[&[u8]]) -> Self {
        Self(format!("sha256-{}", digest(content)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
