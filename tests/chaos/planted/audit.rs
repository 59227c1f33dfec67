//! Audit records of events that nobody handled: a real outcome and a real receipt of the run, with other facts.

use std::cell::RefCell;
use std::ops::Range;

use coafi_chaos::reconcile::{Place, Sent};
use coafi_chaos::run::Aftermath;
use coafi_chaos::wire::Schemas;
use coafi_chaos::world::AUDIT_TOPIC;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::topics::Topics;

/// How long each attempt takes.
const ATTEMPT_MS: i64 = 100;

pub(super) struct Audit {
    schemas: RefCell<Schemas>,
    outcome: OwnedMessage,
    receipt: OwnedMessage,
    /// When attempts begin: after everything of the run.
    begin_ms: i64,
}

impl Audit {
    pub(super) fn new(run: &Aftermath, topics: &Topics) -> Self {
        let outcomes = &run.evidence.outcomes;
        let processed = outcomes.iter().find(|outcome| outcome.kind == "processed").unwrap();
        let (partition, offset) = processed.at;
        let place = Place { topic: AUDIT_TOPIC.into(), partition, offset };
        let first = Place { offset: 0, ..place.clone() };
        Self {
            schemas: RefCell::new(Schemas::new(&run.world.registry)),
            outcome: topics.find(&place, |message| message.offset() == offset),
            receipt: topics.find(&first, |message| header(message, "ce_type") == Some("bitt.receipt")),
            begin_ms: outcomes.iter().map(|outcome| outcome.ended_ms).max().unwrap(),
        }
    }

    /// What became of an attempt that began so long after the run. All of these are in one partition, as those of one event are.
    pub(super) fn outcome(&self, topics: &Topics, event: &Sent, kind: &str, attempt: i32, begins_after_ms: i64) {
        let Place { topic, partition, offset } = &event.place;
        let begin_ms = self.begin_ms + begins_after_ms;
        let facts = json!({
            "topic": topic, "partition": partition, "offset": offset, "eventId": event.id, "outcome": kind,
            "attempt": attempt, "errorClass": kind.starts_with("retried").then_some("transient"),
            "startedAt": begin_ms, "endedAt": begin_ms + ATTEMPT_MS,
        });
        self.write(topics, &self.outcome, &facts, &format!("{topic}/{partition}/{offset}/planted/{attempt}"));
    }

    pub(super) fn receipt(&self, topics: &Topics, topic: &str, partition: i32, offsets: Range<i64>, ids: &[String]) {
        let Range { start, end } = offsets;
        let facts = json!({
            "topic": topic, "partition": partition, "fromOffset": start, "toOffset": end, "eventIds": ids,
        });
        self.write(topics, &self.receipt, &facts, &format!("{topic}/{partition}/{start}-{end}/planted"));
    }

    fn write(&self, topics: &Topics, like: &OwnedMessage, facts: &Value, id: &str) {
        let value = self.schemas.borrow_mut().with(like.payload().unwrap(), facts).unwrap();
        let headers = like.headers().unwrap().iter().fold(OwnedHeaders::new(), |headers, header| {
            let value = if header.key == "ce_id" { Some(id.as_bytes()) } else { header.value };
            headers.insert(Header { key: header.key, value })
        });
        let record = BaseRecord::to(AUDIT_TOPIC).partition(like.partition()).headers(headers);
        topics.write(record.key(like.key().unwrap_or_default()).payload(&value[..]));
    }
}

fn header<'m>(message: &'m OwnedMessage, name: &str) -> Option<&'m str> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}
