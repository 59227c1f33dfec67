//! What is to be said, checked: texts have their bounds, and a template has made the text.

use serde_json::{Value, json};

use crate::dispatch::{Failure, once};
use crate::event::Event;
use crate::notify::{Notifier, Severity};
use crate::schema::payloads::{DeliveredNotification, NotificationRequested};

/// One line.
const TITLE_CHARS_MAX: usize = 300;
/// Longer ones are cut: better said in part than not at all.
const TEXT_BYTES_MAX: usize = 16 << 10;
const DATA_BYTES_MAX: usize = 16 << 10;
/// Of keys and sources; keys are in an index.
const NAME_BYTES_MAX: usize = 500;
const URL_BYTES_MAX: usize = 2_000;
const CHANNELS_MAX: usize = 100;
const SHORTENED: &str = "… (shortened)";

pub(super) struct Wanted {
    pub(super) severity: Severity,
    pub(super) notification: DeliveredNotification,
}

impl Wanted {
    /// # Errors
    /// Invalid: what cannot be meant. Permanent: a template that does not fit.
    pub(super) fn check(event: &Event, requested: &NotificationRequested, notifier: &Notifier) -> Result<Self, Failure> {
        let severity: Severity =
            requested.severity.parse().map_err(|error| Failure::invalid("invalid_severity", error))?;
        let title: String = requested.title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let title: String = title.trim().chars().take(TITLE_CHARS_MAX).collect();
        if title.is_empty() {
            return Err(Failure::invalid("no_title", "a notification has no title"));
        }
        let source = if requested.source.is_empty() { event.source() } else { &requested.source };
        for (name, text) in
            [("dedupKey", requested.dedup_key.as_str()), ("groupKey", &requested.group_key), ("source", source)]
        {
            if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                let allowed = format!("at most {NAME_BYTES_MAX} bytes of printable text");
                return Err(Failure::invalid("invalid_key", format!("{name} is not allowed; allowed: {allowed}")));
            }
        }
        if requested.channels.len() > CHANNELS_MAX {
            let message = format!("{} channels; allowed: at most {CHANNELS_MAX}", requested.channels.len());
            return Err(Failure::invalid("too_many_channels", message));
        }
        check_url(&requested.url)?;
        let data = data(&requested.data)?;
        let mut notification = DeliveredNotification {
            id: event.id().to_owned(),
            title,
            text: String::new(),
            severity: severity.name().to_owned(),
            source: source.to_owned(),
            dedup_key: requested.dedup_key.clone(),
            resolved: requested.resolved,
            url: requested.url.clone(),
            data: requested.data.clone(),
            requested_at: event.record().timestamp_ms().unwrap_or_default(),
        };
        let text = match requested.template.as_str() {
            "" => requested.text.clone(),
            template => filled(notifier, template, &notification, &data, &once::utids(event).unwrap_or_default())?,
        };
        notification.text = shortened(text);
        Ok(Self { severity, notification })
    }
}

fn filled(
    notifier: &Notifier,
    template: &str,
    notification: &DeliveredNotification,
    data: &Value,
    utids: &str,
) -> Result<String, Failure> {
    let context = json!({
        "title": notification.title,
        "severity": notification.severity,
        "source": notification.source,
        "resolved": notification.resolved,
        "url": notification.url,
        "data": data,
        "utids": utids,
    });
    notifier.templates().text(template, &context).map_err(|error| Failure::permanent("template_wrong", error))
}

/// Slack's and HTML's links lead where they say.
fn check_url(url: &str) -> Result<(), Failure> {
    let allowed = |c: char| c.is_ascii_graphic() && !"<>|\"'`\\".contains(c);
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if url.is_empty() || is_web && url.len() <= URL_BYTES_MAX && url.chars().all(allowed) {
        return Ok(());
    }
    let allowed = format!("an http or https URL of at most {URL_BYTES_MAX} bytes, percent-encoded");
    Err(Failure::invalid("invalid_url", format!("url is not allowed; allowed: {allowed}")))
}

fn data(text: &str) -> Result<Value, Failure> {
    if text.is_empty() {
        return Ok(json!({}));
    }
    if text.len() > DATA_BYTES_MAX {
        let message = format!("data has {} bytes; allowed: at most {DATA_BYTES_MAX}", text.len());
        return Err(Failure::invalid("invalid_data", message));
    }
    match serde_json::from_str(text) {
        Ok(data @ Value::Object(_)) => Ok(data),
        Ok(_) => Err(Failure::invalid("invalid_data", "data is not a JSON object")),
        Err(error) => Err(Failure::invalid("invalid_data", format!("data is not JSON: {error}"))),
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        let mut end = TEXT_BYTES_MAX - SHORTENED.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(SHORTENED);
    }
    text
}
