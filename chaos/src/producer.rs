//! Writes events at a steady rate, whatever happens, and keeps what the broker acknowledged. It does what it is told in
//! between: sends an event that kills, stops until it is told to go on, ends.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
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

/// What the thread is told.
enum Order {
    /// Send an event that kills whoever handles it.
    Kill,
    /// Have everything acknowledged, end the client, say so, and wait.
    Pause(SyncSender<()>),
    /// Go on with a client that has seen the topic as it is now.
    Resume,
    End,
}

/// A thread that produces until it is told to stop.
pub struct Producer {
    orders: Sender<Order>,
    /// `None` once it has been waited for.
    thread: Option<JoinHandle<Result<Vec<Sent>>>>,
}

impl Producer {
    /// `per_second` events of the seed, from now on. `step` is the id of the step's schema.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn start(kafka: &str, seed: u64, per_second: u64, schemas: Schemas, step: u32) -> Result<Self> {
        let (reports, delivered) = channel();
        let (orders, ordered) = channel();
        let client = client(kafka, &reports)?;
        let interval = Duration::from_micros(1_000_000 / per_second);
        let kafka = kafka.to_owned();
        let thread = thread::spawn(move || {
            let mut producing =
                Producing { kafka, reports, client, schemas, step, events: Events::new(seed), drafts: Vec::new() };
            producing.run(interval, &ordered)?;
            producing.flush()?;
            let Producing { client, drafts, .. } = producing;
            drop(client);
            sent(drafts, &delivered)
        });
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Sends an event that kills every process that handles it.
    ///
    /// # Errors
    /// The thread has failed, which [`Self::finish`] explains.
    pub fn send_killer(&self) -> Result<()> {
        self.tell(Order::Kill)
    }

    /// Stops as a publisher does: everything is acknowledged when this returns.
    ///
    /// # Errors
    /// The thread has failed, which [`Self::finish`] explains.
    pub fn pause(&self) -> Result<()> {
        let (said, paused) = sync_channel(1);
        self.tell(Order::Pause(said))?;
        paused.recv().map_err(|_| gone())
    }

    /// Goes on after [`Self::pause`].
    ///
    /// # Errors
    /// The thread has failed, which [`Self::finish`] explains.
    pub fn resume(&self) -> Result<()> {
        self.tell(Order::Resume)
    }

    /// Waits until everything is acknowledged; what was sent, in its order.
    ///
    /// # Errors
    /// The broker did not take it all.
    pub fn finish(&mut self) -> Result<Vec<Sent>> {
        // A thread that has failed says why.
        let _ = self.tell(Order::End);
        let Some(thread) = self.thread.take() else { return Err(gone()) };
        let Ok(sent) = thread.join() else { bail!("the producer's thread panicked") };
        sent
    }

    fn tell(&self, order: Order) -> Result<()> {
        self.orders.send(order).map_err(|_| gone())
    }
}

fn gone() -> anyhow::Error {
    anyhow!("the producer has ended")
}

fn client(kafka: &str, reports: &Sender<(usize, Delivered)>) -> Result<BaseProducer<Deliveries>> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka)
        // One that is not idempotent reorders on its own retries.
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        // A broker may be away for the whole run.
        .set("message.timeout.ms", "0")
        .set("reconnect.backoff.max.ms", "500")
        .set("linger.ms", "5")
        .create_with_context(Deliveries(Mutex::new(reports.clone())))
        .context("make a producer")
}

/// The thread's own.
struct Producing {
    kafka: String,
    reports: Sender<(usize, Delivered)>,
    client: BaseProducer<Deliveries>,
    schemas: Schemas,
    step: u32,
    events: Events,
    drafts: Vec<Draft>,
}

impl Producing {
    /// An event each `interval` until the end is ordered. What a pause has cost is not made up for.
    fn run(&mut self, interval: Duration, orders: &Receiver<Order>) -> Result<()> {
        let mut due = Instant::now();
        loop {
            match orders.recv_timeout(due.saturating_duration_since(Instant::now()).min(TICK)) {
                Ok(Order::Kill) => {
                    let killer = self.events.killer();
                    self.send(killer)?;
                }
                Ok(Order::Pause(said)) => {
                    self.flush()?;
                    // Nobody waits for it only when the run has failed.
                    let _ = said.send(());
                    loop {
                        match orders.recv() {
                            Ok(Order::Resume) => break,
                            Ok(Order::End) | Err(_) => return Ok(()),
                            Ok(Order::Kill | Order::Pause(_)) => {}
                        }
                    }
                    self.client = client(&self.kafka, &self.reports)?;
                    self.events.forget();
                    due = Instant::now();
                }
                Ok(Order::Resume) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.client.poll(Duration::ZERO);
            while due <= Instant::now() {
                let Some(draft) = self.events.next() else { return Ok(()) };
                self.send(draft)?;
                due += interval;
            }
        }
    }

    fn send(&mut self, draft: Draft) -> Result<()> {
        let value = self.schemas.encode(self.step, &draft)?;
        let record = BaseRecord::with_opaque_to(TOPIC, Box::new(self.drafts.len())).key(&draft.key).payload(&value);
        let mut record = record.headers(headers(&draft));
        while let Err((error, again)) = self.client.send(record) {
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.client.poll(TICK);
            record = again;
        }
        self.drafts.push(draft);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.client.flush(FLUSH_LIMIT).context("events that no broker has acknowledged")
    }
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
        let Draft { id, key, sequence, ending, class, policy, attributes, .. } = draft;
        let id = (attributes != Attributes::None).then_some(id);
        let (emits, writes) = (emits && processed, writes && processed);
        Ok(Sent { place, id, key, sequence, ending, class, policy, emits, writes })
    };
    drafts.into_iter().zip(places).map(sent).collect()
}
