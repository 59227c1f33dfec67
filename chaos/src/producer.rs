//! Writes events at a steady rate, whatever happens, and keeps what the broker acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::events::{Attributes, Draft, Events};
use crate::reconcile::{Ending, Place, Sent};
use crate::wire::Schemas;
use crate::world::TOPIC;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// What is not acknowledged is waited for this long at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

type Delivered = Result<(i32, i64), String>;

/// Passes delivery reports on; a report's number is the draft's.
struct Deliveries(Mutex<Sender<(usize, Delivered)>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        let delivered = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.to_string()),
        };
        if let Ok(reports) = self.0.lock() {
            // Nobody listens only when the run is over.
            let _ = reports.send((*number, delivered));
        }
    }
}

/// A thread that produces until it is told to stop.
pub struct Producer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Sent>>>,
}

impl Producer {
    /// `per_second` events of the seed, from now on. `step` is the id of the step's schema.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn start(kafka: &str, seed: u64, per_second: u64, schemas: Schemas, step: u32) -> Result<Self> {
        let (reports, delivered) = channel();
        let producer: BaseProducer<Deliveries> = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            // One that is not idempotent reorders on its own retries.
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            // A broker may be away for the whole run.
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.max.ms", "500")
            .set("linger.ms", "5")
            .create_with_context(Deliveries(Mutex::new(reports)))
            .context("make a producer")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let drafts = produce(&producer, &stopped, Events::new(seed), per_second, &schemas, step)?;
            producer.flush(FLUSH_LIMIT).context("events that no broker has acknowledged")?;
            drop(producer);
            sent(drafts, &delivered)
        });
        Ok(Self { stop, thread })
    }

    /// Waits until everything is acknowledged; what was sent, in its order.
    ///
    /// # Errors
    /// The broker did not take it all.
    pub fn finish(self) -> Result<Vec<Sent>> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(sent) = self.thread.join() else { bail!("the producer's thread panicked") };
        sent
    }
}

fn produce(
    producer: &BaseProducer<Deliveries>,
    stop: &AtomicBool,
    events: Events,
    per_second: u64,
    schemas: &Schemas,
    step: u32,
) -> Result<Vec<Draft>> {
    let begin = Instant::now();
    let mut drafts = Vec::new();
    for draft in events {
        let due = begin + Duration::from_micros(1_000_000 * drafts.len() as u64 / per_second);
        while Instant::now() < due && !stop.load(Ordering::Relaxed) {
            producer.poll(TICK);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let value = schemas.encode(step, &draft)?;
        let headers = headers(&draft);
        let record = BaseRecord::with_opaque_to(TOPIC, Box::new(drafts.len())).key(&draft.key).payload(&value);
        let mut record = record.headers(headers);
        while let Err((error, again)) = producer.send(record) {
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(TICK);
            record = again;
        }
        drafts.push(draft);
    }
    Ok(drafts)
}

fn headers(draft: &Draft) -> OwnedHeaders {
    let event_type = match draft.attributes {
        Attributes::Event => "drill.step",
        Attributes::UnroutedEvent => "drill.nobody",
        Attributes::None => return OwnedHeaders::new().insert(Header { key: "note", value: Some("no event") }),
    };
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", draft.id.as_str()),
        ("ce_source", draft.source.name()),
        ("ce_type", event_type),
        ("content-type", "application/avro"),
    ];
    attributes
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

fn sent(drafts: Vec<Draft>, delivered: &Receiver<(usize, Delivered)>) -> Result<Vec<Sent>> {
    let mut places: Vec<Option<Place>> = vec![None; drafts.len()];
    for (number, result) in delivered.try_iter() {
        let (partition, offset) = result.map_err(anyhow::Error::msg).context("an event was not taken")?;
        places[number] = Some(Place { topic: TOPIC.to_owned(), partition, offset });
    }
    let sent = |(draft, place): (Draft, Option<Place>)| {
        let place = place.with_context(|| format!("{} was never acknowledged", draft.id))?;
        let (emits, writes) = (draft.emits(), draft.writes());
        let processed = draft.ending != Ending::Duplicate;
        let Draft { id, key, sequence, ending, max_attempts, attributes, .. } = draft;
        let id = (attributes != Attributes::None).then_some(id);
        let (emits, writes) = (emits && processed, writes && processed);
        Ok(Sent { place, id, key, sequence, ending, max_attempts, emits, writes })
    };
    drafts.into_iter().zip(places).map(sent).collect()
}
