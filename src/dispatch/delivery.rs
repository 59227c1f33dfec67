//! What travels through the engine as a record's payload: the record, what was found in it, and its route.

use super::hop::{self, Hop, HopError, Origin};
use super::{Place, Routed};
use crate::event::{Attribute, Event, NotAnEvent, Record};

/// One polled record, looked at once.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub content: Content,
    /// The route that takes it, enabled or not.
    pub route: Option<Routed>,
    /// Earlier attempts, on a retry topic.
    pub hop: Option<Box<Hop>>,
    /// When it was polled, in milliseconds since the Unix epoch.
    pub received_ms: i64,
}

#[derive(Clone, Debug)]
pub enum Content {
    Event(Event),
    /// Poison: the record is no event.
    Unreadable(Record, NotAnEvent),
    /// Poison: a header of ours says what we cannot have written.
    Spoilt(Event, HopError),
}

impl Delivery {
    #[must_use]
    pub fn record(&self) -> &Record {
        match &self.content {
            Content::Event(event) | Content::Spoilt(event, _) => event.record(),
            Content::Unreadable(record, _) => record,
        }
    }

    /// Where the record stands, or stood before its first hop.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        match self.hop.as_ref().and_then(|hop| hop.origin.as_ref()) {
            Some(Origin { topic, partition, offset }) => Place { topic, partition: *partition, offset: *offset },
            None => {
                let record = self.record();
                Place { topic: record.topic(), partition: record.partition(), offset: record.offset().0 }
            }
        }
    }

    /// The event, also one with a spoilt header.
    #[must_use]
    pub fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Event(event) | Content::Spoilt(event, _) => Some(event),
            Content::Unreadable(..) => None,
        }
    }

    /// Why it is poison, if it is: a code and a message.
    #[must_use]
    pub fn poison(&self) -> Option<(&'static str, String)> {
        match &self.content {
            Content::Event(_) => None,
            Content::Unreadable(_, why) => Some(("not_an_event", why.to_string())),
            Content::Spoilt(_, why) => Some(("spoilt_header", why.to_string())),
        }
    }

    /// Which redrive sent the record, from 1; 0 if it is as its source published it.
    #[must_use]
    pub fn redrive(&self) -> u32 {
        self.record().headers().text(hop::REDRIVE).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// W3C trace context: the CloudEvents extension, or the plain header that OpenTelemetry instrumentations write.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let attribute = self.event().and_then(|event| event.attribute(Attribute::TraceParent)).map(str::to_owned);
        attribute.or_else(|| self.record().headers().text("traceparent").map(str::to_owned))
    }
}
