//! An e-mail: plain text and HTML, under an id by which a second copy is known.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::{Mailboxes, MultiPart, header};
use sha2::{Digest as _, Sha256};

use super::{Message, clipped};
use crate::notify::{Email, TemplateError, Templates, templates};

/// Longer lines are folded, but nobody reads them.
const SUBJECT_CHARS_MAX: usize = 200;

/// # Errors
/// A layout that cannot be filled.
pub(in crate::notify) fn email(
    templates: &Templates,
    message: &Message<'_>,
    email: &Email,
) -> Result<lettre::Message, TemplateError> {
    let context = message.context();
    let subject = templates.fill(templates::EMAIL_SUBJECT, &context)?;
    // A line's end in it would begin another header.
    let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = templates.fill(templates::EMAIL_TEXT, &context)?;
    let html = templates.fill(templates::EMAIL_HTML, &context)?;
    let sent_at = UNIX_EPOCH + Duration::from_millis(u64::try_from(message.now_ms).unwrap_or_default());
    let built = lettre::Message::builder()
        .from(email.from.clone())
        .mailbox(header::To::from(email.to.iter().cloned().collect::<Mailboxes>()))
        .date(sent_at)
        .subject(clipped(&subject, SUBJECT_CHARS_MAX))
        .message_id(Some(message_id(message.id, email.from.email.domain())))
        .multipart(MultiPart::alternative_plain_html(plain, html));
    built.map_err(|error| TemplateError::Wrong { place: templates::EMAIL_TEXT.to_owned(), message: error.to_string() })
}

/// Of any text, one that a header can hold.
fn message_id(delivery_id: &str, domain: &str) -> String {
    let digits: String = Sha256::digest(delivery_id)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<{digits}.coafi@{domain}>")
}
