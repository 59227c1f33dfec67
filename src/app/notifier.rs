//! From the configuration's channels to the notifier.

use super::topics::declarations;
use crate::config::Settings;
use crate::dispatch::NOTIFICATIONS_TOPIC;
use crate::notify::{Notifier, NotifierParts, Templates};

/// The notifier of a process.
///
/// # Errors
/// A template that is wrong, with file and line; a channel that cannot be used.
pub fn notifier(settings: &Settings) -> anyhow::Result<Notifier> {
    let configured = &settings.notifications;
    let templates = Templates::load(configured.templates_dir.as_deref())?;
    let parts = NotifierParts {
        channels: configured.channels.clone(),
        rules: configured.rules.clone(),
        pace: configured.pace,
        allowed: settings.outgoing.allow.clone(),
        without_topic: !declarations(settings)?.iter().any(|declared| declared.topic == NOTIFICATIONS_TOPIC),
    };
    Ok(Notifier::new(parts, templates)?)
}
