//! Alerts, as Alertmanager takes them: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::time::Duration;

use serde_json::{Value, json};

use super::{Message, context_of, time};
use crate::notify::{TemplateError, Templates, templates};
use crate::schema::payloads::DeliveredNotification;

/// Labels say which alert it is: whoever resolves one names the same key, severity and source.
///
/// # Errors
/// A layout that cannot be filled.
pub(in crate::notify) fn alerts(
    templates: &Templates,
    message: &Message<'_>,
    resolve_after: Duration,
) -> Result<Value, TemplateError> {
    let alert = |notification: &DeliveredNotification| {
        let DeliveredNotification { title, severity, source, dedup_key, url, requested_at, .. } = notification;
        let mut context = message.context();
        context["n"] = context_of(notification);
        let text = templates.fill(templates::ALERT, &context)?;
        let lasting = i64::try_from(resolve_after.as_millis()).unwrap_or(i64::MAX);
        // Of one that was resolved, when it began is not known here: Alertmanager keeps the earlier time.
        let ends_at = if notification.resolved { *requested_at } else { requested_at.saturating_add(lasting) };
        let mut alert = json!({
            "labels": {
                "alertname": if dedup_key.is_empty() { title } else { dedup_key },
                "severity": severity,
                "service": "coafi",
                "source": source,
            },
            "annotations": {"summary": title, "description": text},
            "startsAt": time(*requested_at),
            "endsAt": time(ends_at),
        });
        if !url.is_empty() {
            alert["generatorURL"] = url.as_str().into();
        }
        Ok(alert)
    };
    message.delivery.notifications.iter().map(alert).collect::<Result<_, _>>().map(Value::Array)
}
