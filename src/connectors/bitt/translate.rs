//! What becomes of a record of the audit log: an event for each watch that matches it.

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::record::{of_intervention, of_outcome};
use super::watch::Watch;
use crate::connectors::tail::{Translate, Translated};
use crate::connectors::{NewSourceEvent, traceparent_of};
use crate::dispatch::Failure;
use crate::engine::Class;
use crate::event::incoming::WATCHED;
use crate::event::{Outgoing, Record};
use crate::schema::payloads::{BittRecord, Intervention, Outcome};
use crate::schema::{AVRO_CONTENT_TYPE, Codec, Encoder, Payload as _};

pub const BITT_TOPIC: &str = "coafi.bitt";
/// CloudEvents `source` of the events: this and the watch's name.
const SOURCE: &str = "/coafi/bitt";

/// Records of `coafi.bitt.records`.
#[derive(Debug)]
pub struct AuditLog {
    watches: Vec<Watch>,
    codec: Codec,
    encoder: OnceCell<Encoder<BittRecord>>,
}

impl AuditLog {
    #[must_use]
    pub fn new(watches: Vec<Watch>, codec: Codec) -> Self {
        Self { watches, codec, encoder: OnceCell::new() }
    }

    /// `None`: a receipt, or what somebody else wrote.
    ///
    /// # Errors
    /// Systemic: nothing can be decoded at the moment.
    async fn read(&self, record: &Record) -> Result<Option<BittRecord>, Failure> {
        let (headers, Some(value)) = (record.headers(), record.value()) else { return Ok(None) };
        let read = match headers.text("ce_type") {
            Some(<Outcome<'static>>::EVENT_TYPE) => {
                self.codec.decode_avro::<Outcome<'static>>(value).await.map(|outcome| of_outcome(outcome, record))
            }
            Some(<Intervention<'static>>::EVENT_TYPE) => {
                let read = self.codec.decode_avro::<Intervention<'static>>(value).await;
                read.map(|intervention| of_intervention(intervention, record))
            }
            _ => return Ok(None),
        };
        match read {
            Ok(read) => Ok(Some(read)),
            Err(failure) if matches!(failure.class, Class::Systemic(_)) => Err(failure),
            Err(failure) => {
                let place = format!("{}@{}", record.topic_partition(), record.offset().0);
                tracing::warn!(place, %failure, "passed over: no audit record that can be read");
                Ok(None)
            }
        }
    }

    fn event(&self, encoder: &Encoder<BittRecord>, watch: &Watch, record: BittRecord) -> Result<Outgoing, Failure> {
        let span = tracing::info_span!(parent: None, "publish", watch = watch.name,
            messaging.system = "kafka", messaging.operation.name = "publish", messaging.destination.name = BITT_TOPIC);
        let record = BittRecord { watch: watch.name.clone(), ..record };
        let mut data = Vec::with_capacity(512);
        encoder.encode(&record, &mut data)?;
        let id = format!("{}/{}/{}", record.log_topic, record.log_partition, record.log_offset);
        // About one thing in order: the thing is the first UTidS, else the event.
        let subject = record.utids.first().or(record.event_id.as_ref()).cloned();
        let cause = record.correlation_id.as_ref().unwrap_or(&id);
        let event = NewSourceEvent {
            tenant: None,
            topic: BITT_TOPIC.into(),
            event_type: BittRecord::EVENT_TYPE.to_owned(),
            source: format!("{SOURCE}/{}", watch.name),
            key: subject.clone().unwrap_or_else(|| id.clone()),
            subject,
            time_ms: Some(record.recorded_at),
            correlation_id: Some(format!("{cause}{WATCHED}")),
            id,
            utids: record.utids,
            reply_to: None,
            content_type: AVRO_CONTENT_TYPE,
            data: data.into(),
        };
        Ok(event.into_record(&traceparent_of(&span)))
    }
}

/// About an event of ours, or about one that follows from one.
fn is_ours(record: &BittRecord) -> bool {
    record.topic == BITT_TOPIC || record.correlation_id.as_ref().is_some_and(|id| id.ends_with(WATCHED))
}

#[async_trait]
impl Translate for AuditLog {
    async fn translate(&self, record: &Record) -> Result<Translated, Failure> {
        let Some(read) = self.read(record).await?.filter(|read| !is_ours(read)) else {
            return Ok(Translated::default());
        };
        let mut events = Vec::new();
        for watch in &self.watches {
            match watch.matches(&read) {
                Ok(false) => {}
                Ok(true) => {
                    let encoder = self.encoder.get_or_try_init(|| self.codec.encoder(BITT_TOPIC)).await?;
                    events.push(self.event(encoder, watch, read.clone())?);
                }
                Err(error) => tracing::warn!(watch = watch.name, %error, "a watch cannot be held against a record"),
            }
        }
        Ok(Translated { events, refused: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::bitt::WatchPatterns;
    use crate::event::{Event, Offset, RecordBuilder};
    use crate::schema::registry::{Client, Settings};
    use crate::schema::{BuiltinRegistry, sample};

    /// The events of an outcome, each read back.
    async fn events(change: impl FnOnce(&mut Outcome<'static>)) -> Vec<(Event, BittRecord)> {
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let codec = Codec::new(Client::new(Settings::new(registry.url())).unwrap(), true);
        let types = |glob: &str| WatchPatterns::new(&[glob.to_owned()]).unwrap();
        let watches = [("all", "*"), ("commits", "git.*"), ("requests", "api.*")];
        let watches = watches.map(|(name, glob)| Watch { name: name.to_owned(), types: types(glob), when: None });
        let mut outcome = sample::outcome();
        outcome.event_type = Some("git.commit".into());
        outcome.origin = None;
        outcome.topic = "coafi.git".into();
        outcome.correlation_id = Some("c-1".into());
        change(&mut outcome);
        let value = codec.encode("coafi.bitt.records", &outcome).await.unwrap();
        let mut builder = RecordBuilder::new(None, Some(&value), 64);
        builder.header(b"ce_type", Some(b"bitt.outcome"));
        let record = builder.build("coafi.bitt.records".into(), 3, Offset(17), Some(1));
        let translated = AuditLog::new(watches.into(), codec.clone()).translate(&record).await.unwrap();
        let mut read = Vec::new();
        for outgoing in translated.events {
            let mut builder = RecordBuilder::new(outgoing.key.as_deref(), outgoing.value.as_deref(), 0);
            outgoing.headers.iter().for_each(|(name, value)| builder.header(name, value));
            let event = Event::parse(builder.build(BITT_TOPIC.into(), 0, Offset(0), None)).unwrap();
            let payload = codec.decode(&event).await.unwrap();
            read.push((event, payload));
        }
        read
    }

    #[tokio::test]
    async fn a_record_is_an_event_for_each_watch_that_matches() {
        let events = events(|_| {}).await;
        let watches: Vec<_> = events.iter().map(|(event, record)| (event.source(), &*record.watch)).collect();
        assert_eq!(watches, [("/coafi/bitt/all", "all"), ("/coafi/bitt/commits", "commits")]);
        let (event, record) = &events[0];
        assert_eq!((event.id(), event.correlation_id()), ("coafi.bitt.records/3/17", "c-1~bitt"));
        assert_eq!((record.log_partition, record.log_offset, &*record.topic), (3, 17, "coafi.git"));
    }

    #[tokio::test]
    async fn what_follows_from_our_events_is_passed_over() {
        assert_eq!(events(|outcome| outcome.topic = BITT_TOPIC.into()).await.len(), 0);
        assert_eq!(events(|outcome| outcome.correlation_id = Some("c-1~bitt".into())).await.len(), 0);
        let retried = |outcome: &mut Outcome<'static>| {
            outcome.topic = "coafi.bitt.retry.5s".into();
            outcome.origin = sample::outcome()
                .origin
                .map(|origin| crate::schema::payloads::Place { topic: BITT_TOPIC.into(), ..origin });
        };
        assert_eq!(events(retried).await.len(), 0);
    }
}
