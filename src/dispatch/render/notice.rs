//! That there is a dead letter, for those who are to be told: one notification in the same transaction, said once for each
//! route, class and code. Of messages that could not be sent nobody is told: that would not end.

use super::{Ending, Fault, Renderer, Staged, class_of, fault_of, routed};
use crate::dispatch::ConsumedTopic;
use crate::dispatch::letter_notices::NOTIFICATIONS_TOPIC;
use crate::event::{HeadersBuilder, Outgoing, TopicPartition};
use crate::schema::payloads::NotificationRequested;
use crate::schema::{AVRO_CONTENT_TYPE, Payload as _};

/// Of an error's message.
const MESSAGE_CHARS_MAX: usize = 2_000;
const HEADERS_BYTES: usize = 384;

impl Renderer {
    pub(super) fn notice(&self, source: &TopicPartition, output: &Staged, ending: &Ending) -> Option<Outgoing> {
        let notices = self.notices.as_ref()?;
        let base = ConsumedTopic::parse(&source.topic).base;
        if !ending.is_letter_of(output) || base == NOTIFICATIONS_TOPIC {
            return None;
        }
        let class = class_of(&output.disposition)?.name();
        let event = output.payload.event();
        let event_type = event.map_or("", |event| event.event_type());
        let severity = notices.severity(event_type, class)?;
        let fault = fault_of(output);
        let (code, message) = fault.map_or(("unknown", String::new()), |Fault { code, message, .. }| (code, message));
        let route = routed(output).map_or("no route", |routed| &routed.route().name);
        let record = output.payload.record();
        let place = format!("{}[{}]@{}", source.topic, source.partition, record.offset());
        let group = &self.audit.writer().group;
        let about = event.map_or("a record that is no event", |event| event.id());
        let message: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let requested = NotificationRequested {
            title: format!("Dead letters of route {route}: {class}, {code}"),
            text: format!("{message}\nOne of them: {about}, {place}. See `coafi dlq list --topic {base}.dlq`."),
            template: String::new(),
            data: String::new(),
            severity: severity.name().to_owned(),
            source: format!("/coafi/groups/{group}"),
            dedup_key: clipped(&format!("dead-letters/{group}/{route}/{class}/{code}")),
            group_key: clipped(&format!("dead-letters/{group}")),
            channels: Vec::new(),
            resolved: false,
            url: String::new(),
            utids: Vec::new(),
        };
        let mut value = Vec::with_capacity(requested.text.len() + 512);
        notices.encoder.encode(&requested, &mut value).expect("a notification has the types of its schema");
        let id = format!("dead-letter/{group}/{place}");
        let correlation = event.map_or(id.as_str(), |event| event.correlation_id());
        let at_ms = record.timestamp_ms().unwrap_or(output.payload.received_ms);
        let time = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string();
        let mut headers = HeadersBuilder::with_capacity(HEADERS_BYTES);
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_source", &requested.source),
            ("ce_type", NotificationRequested::EVENT_TYPE),
            ("ce_time", &time),
            ("ce_partitionkey", &id),
            ("ce_correlationid", correlation),
            ("ce_causationid", about),
            ("content-type", AVRO_CONTENT_TYPE),
        ] {
            headers.push(name.as_bytes(), Some(value.as_bytes()));
        }
        Some(Outgoing {
            topic: NOTIFICATIONS_TOPIC.into(),
            partition: None,
            key: Some(id.clone().into()),
            value: Some(value.into()),
            headers: headers.build(),
            timestamp_ms: Some(at_ms),
        })
    }
}

/// Within what a key may have.
fn clipped(key: &str) -> String {
    const KEY_CHARS_MAX: usize = 120;
    key.chars().take(KEY_CHARS_MAX).collect()
}
