//! The record that moves on: to a retry topic, a dead-letter topic or `coafi.unprocessed`. Key and value are the original
//! bytes; our headers are written anew at every hop.

use std::sync::Arc;

use bytes::Bytes;

use super::fit::{Fitted, Keep, Own, fit};
use super::profile::{self, Failed};
use super::{Fault, Renderer, Staged, class_of, fault_of, routed};
use crate::dispatch::Routed;
use crate::dispatch::hop::{self, Origin};
use crate::event::{Outgoing, Timestamp, TopicPartition};

const MAX_MESSAGE_BYTES: usize = 2_048;
const MAX_LOCATION_BYTES: usize = 512;
/// Of names (topics, routes, handlers) in headers.
const MAX_NAME_BYTES: usize = 256;

impl Renderer {
    /// `None` if it does not fit with all that it needs to be handled again.
    pub(super) fn retry(&self, source: &TopicPartition, output: &Staged, topic: &str, due_ms: i64) -> Option<Outgoing> {
        let mut own = self.facts(source, output);
        own.push(Own::fact(hop::NOT_BEFORE, due_ms));
        let done = self.done(output);
        if !done.is_empty() {
            own.push(Own::fact(hop::DONE, done));
        }
        own.extend(self.courtesies(source, output, Some(due_ms)));
        own.extend(texts(output));
        let fitted = fit(output.payload.record(), &own, Keep::Attributes, self.limits.of(topic))?;
        Some(outgoing(topic.into(), output, fitted))
    }

    pub(super) fn dead_letter(&self, source: &TopicPartition, output: &Staged, topic: &str) -> Outgoing {
        let mut own = self.facts(source, output);
        own.extend(self.courtesies(source, output, None));
        own.extend(texts(output));
        self.put_away(topic.into(), output, &own)
    }

    pub(super) fn unprocessed(&self, source: &TopicPartition, output: &Staged) -> Outgoing {
        let mut own = self.facts(source, output);
        own.push(Own::text(hop::REASON, &Self::reason(output), MAX_MESSAGE_BYTES));
        self.put_away(Arc::clone(&self.unprocessed_topic), output, &own)
    }

    /// Why no route took it.
    pub(super) fn reason(output: &Staged) -> String {
        match output.payload.event() {
            Some(event) => format!("no route takes type {:?} from source {:?}", event.event_type(), event.source()),
            None => "no route takes it".to_owned(),
        }
    }

    fn put_away(&self, topic: Arc<str>, output: &Staged, own: &[Own]) -> Outgoing {
        let record = output.payload.record();
        let fitted = fit(record, own, Keep::KeyAndValue, self.limits.of(&topic))
            .expect("with KeyAndValue everything else may be left out");
        outgoing(topic, output, fitted)
    }

    /// Where it first stood, how often it was tried, and what became of it; the most important first.
    fn facts(&self, source: &TopicPartition, output: &Staged) -> Vec<Own> {
        let (origin, timestamp) = origin(source, output);
        let mut own = vec![
            Own::fact(hop::ORIGIN_TOPIC, origin.topic),
            Own::fact(hop::ORIGIN_PARTITION, origin.partition),
            Own::fact(hop::ORIGIN_OFFSET, origin.offset),
            Own::fact(hop::ATTEMPT, output.attempt),
        ];
        own.extend(timestamp.map(|timestamp| Own::fact(hop::ORIGIN_TIMESTAMP, timestamp)));
        let Some(class) = class_of(&output.disposition) else { return own };
        own.push(Own::fact(hop::ERROR_CLASS, class));
        let first = output.payload.hop.as_ref().and_then(|hop| hop.first_failure_ms);
        own.push(Own::fact(hop::FIRST_FAILURE, first.unwrap_or_else(|| ended_ms(output))));
        if let Some(route) = routed(output).map(Routed::route) {
            own.push(Own::fact(hop::ROUTE, cut(&route.name, MAX_NAME_BYTES)));
            own.extend(failed_handler(output).map(|name| Own::fact(hop::HANDLER, name)));
        }
        own
    }

    /// What the profile in force adds for tools of others. `due_ms` is that of a retry.
    fn courtesies(&self, source: &TopicPartition, output: &Staged, due_ms: Option<i64>) -> Vec<Own> {
        let (Some(class), Some(Fault { code, message, location, .. })) =
            (class_of(&output.disposition), fault_of(output))
        else {
            return Vec::new();
        };
        let (origin, timestamp) = origin(source, output);
        let failed = Failed {
            origin: &origin,
            timestamp,
            group: cut(&self.audit.writer().group, MAX_NAME_BYTES),
            class: class.name(),
            code,
            message: cut(&message, MAX_MESSAGE_BYTES),
            location: location.as_deref().map(|location| cut(location, MAX_LOCATION_BYTES)),
            handler: failed_handler(output),
            attempt: output.attempt,
            due_ms: due_ms.unwrap_or_else(|| ended_ms(output)),
        };
        match due_ms {
            Some(_) => profile::of_retry(self.profile, &failed),
            None => profile::of_dead_letter(self.profile, &failed),
        }
    }

    /// Names of the handlers that have succeeded.
    fn done(&self, output: &Staged) -> String {
        let handlers = routed(output).map(|routed| routed.route().handlers.as_slice()).unwrap_or_default();
        let done = handlers.iter().enumerate().filter(|(index, _)| output.done & (1 << index) != 0);
        done.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(",")
    }
}

fn failed_handler(output: &Staged) -> Option<&str> {
    let index = fault_of(output)?.handler?;
    routed(output)?.route().handlers.get(usize::from(index)).map(|name| cut(name, MAX_NAME_BYTES))
}

fn texts(output: &Staged) -> Vec<Own> {
    let Some(fault) = fault_of(output) else { return Vec::new() };
    let mut own = vec![
        Own::text(hop::ERROR_CODE, fault.code, MAX_NAME_BYTES),
        Own::text(hop::ERROR_MESSAGE, &fault.message, MAX_MESSAGE_BYTES),
    ];
    own.extend(fault.location.map(|location| Own::text(hop::ERROR_LOCATION, &location, MAX_LOCATION_BYTES)));
    own
}

/// Where and when the record was first written: told by its hop, or here and now.
fn origin(source: &TopicPartition, output: &Staged) -> (Origin, Option<Timestamp>) {
    let hop = output.payload.hop.as_ref();
    match hop.and_then(|hop| hop.origin.clone()) {
        Some(origin) => (origin, hop.and_then(|hop| hop.origin_timestamp)),
        None => {
            let (topic, offset) = (source.topic.to_string(), output.ticket.offset.0);
            let origin = Origin { topic, partition: source.partition, offset };
            (origin, output.payload.record().timestamp())
        }
    }
}

/// When the attempt ended, or the record was polled, if there was none.
fn ended_ms(output: &Staged) -> i64 {
    output.report.as_ref().map_or(output.payload.received_ms, |report| report.ended_ms)
}

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

fn outgoing(topic: Arc<str>, output: &Staged, fitted: Fitted) -> Outgoing {
    Outgoing {
        topic,
        partition: None,
        key: output.payload.record().key().map(Bytes::copy_from_slice),
        value: fitted.value,
        headers: fitted.headers,
        // Not the original's: a retry topic's retention would take an old record away at once.
        timestamp_ms: None,
    }
}
