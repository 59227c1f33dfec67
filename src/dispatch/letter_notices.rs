//! Dead letters that somebody is told of: which, and what encodes it. What is said is [`super::render`]'s.

use super::Failure;
use crate::notify::{DeadLetterRule, Severity};
use crate::schema::payloads::NotificationRequested;
use crate::schema::{Codec, Encoder};

/// Where notifications are asked for.
pub const NOTIFICATIONS_TOPIC: &str = "coafi.notifications";

/// The rules of `notifications.dead_letters`.
#[derive(Clone, Debug)]
pub struct LetterNotices {
    rules: Vec<DeadLetterRule>,
    pub(super) encoder: Encoder<NotificationRequested>,
}

impl LetterNotices {
    /// `None` without rules. The schema's id is asked for once.
    ///
    /// # Errors
    /// Systemic: the registry does not answer, or does not have the schema.
    pub async fn connect(rules: &[DeadLetterRule], codec: &Codec) -> Result<Option<Self>, Failure> {
        if rules.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { rules: rules.to_vec(), encoder: codec.encoder(NOTIFICATIONS_TOPIC).await? }))
    }

    /// How bad a dead letter of this type and class is; `None` if nobody is told. Of several rules the worst counts.
    pub(super) fn severity(&self, event_type: &str, class: &str) -> Option<Severity> {
        let matching = self.rules.iter().filter(|rule| {
            rule.types.matches(event_type) && (rule.classes.is_empty() || rule.classes.iter().any(|of| of == class))
        });
        matching.map(|rule| rule.severity).max()
    }
}
