//! Records of what a person did with a record that had been put away.

use std::sync::Arc;

use bytes::Bytes;

use super::audit::partition_key;
use super::bounds;
use crate::dispatch::Failure;
use crate::event::{HeadersBuilder, Outgoing};
use crate::schema::payloads::{Intervention, Place};
use crate::schema::{AVRO_CONTENT_TYPE, Codec, Encoder, Payload as _};

/// CloudEvents `source` of the records.
const SOURCE: &str = "/coafi/operator";

/// The key of the outcomes of an event, or of a record at this place that is none.
#[must_use]
pub fn outcome_key(event_id: Option<&str>, place: &Place<'_>) -> Bytes {
    match event_id {
        Some(id) => Bytes::copy_from_slice(bounds::attribute(id).as_bytes()),
        None => partition_key(&place.topic, place.partition),
    }
}

/// Makes records of interventions. Their key is that of the event's outcomes, so that what came of a redrive follows its
/// record in one partition.
#[derive(Clone, Debug)]
pub struct Interventions {
    topic: Arc<str>,
    encoder: Encoder<Intervention<'static>>,
}

impl Interventions {
    /// Asks the schema registry for the schema's id. `topic` is that of audit records.
    ///
    /// # Errors
    /// Systemic: the registry does not answer, or does not have it.
    pub async fn connect(topic: &str, codec: &Codec) -> Result<Self, Failure> {
        Ok(Self { topic: topic.into(), encoder: codec.encoder(topic).await? })
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The record; its texts are bounded as those of an outcome.
    #[must_use]
    pub fn record(&self, done: &Intervention<'_>, traceparent: Option<&str>) -> Outgoing {
        let mut done = done.clone();
        let Intervention { event_id, event_type, source, correlation_id, reason, error_class, .. } = &mut done;
        for text in [event_id, event_type, source, correlation_id, reason, error_class].into_iter().flatten() {
            bounds::shorten(text);
        }
        bounds::shorten(&mut done.by);
        let mut value = Vec::new();
        self.encoder.encode(&done, &mut value).expect("an intervention has the types of its schema");
        let here = Place { topic: done.topic.clone(), partition: done.partition, offset: done.offset };
        let key = outcome_key(done.event_id.as_deref(), done.sent_to.as_ref().unwrap_or(&here));
        let time = jiff::Timestamp::from_millisecond(done.at).unwrap_or_default().to_string();
        let mut headers = HeadersBuilder::default();
        for (name, text) in [
            ("ce_specversion", "1.0"),
            ("ce_id", &*done.record_id()),
            ("ce_source", SOURCE),
            ("ce_type", <Intervention<'static>>::EVENT_TYPE),
            ("ce_time", &time),
            ("content-type", AVRO_CONTENT_TYPE),
        ] {
            headers.push(name.as_bytes(), Some(text.as_bytes()));
        }
        for (name, text) in [
            ("ce_causationid", done.event_id.as_deref()),
            ("ce_correlationid", done.correlation_id.as_deref()),
            ("traceparent", traceparent),
        ] {
            if let Some(text) = text {
                headers.push(name.as_bytes(), Some(text.as_bytes()));
            }
        }
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: None,
            key: Some(key),
            value: Some(value.into()),
            headers: headers.build(),
            timestamp_ms: Some(done.at),
        }
    }
}
