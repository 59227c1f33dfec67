//! The application behind the driver: ties classification, workers, audit and rendering together.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;

use super::classify::{classify, identity_of, reclassify};
use super::delivery::Delivery;
use super::ending::Ending;
use super::letter_notices::LetterNotices;
use super::probe;
use super::record_limits::RecordLimits;
use super::redaction::Redaction;
use super::render::{FailureLog, HeaderProfile, Renderer};
use super::report::Report;
use super::shared::Shared;
use super::workers::{ResultSink, Submit, Workers};
use super::{Routing, Services};
use crate::bitt::{Audit, Polled};
use crate::engine::{Arrival, Attempt, Dependency, Epoch, Finished, Job, Output, PartitionId, Rerouted};
use crate::event::{Attribute, Identity, NextOffset, Offset, Outgoing, Record, TopicPartition};
use crate::kafka::{Application, PolledBatch, Trouble};
use crate::runtime::Clock;
use crate::schema::Encoder;
use crate::schema::payloads::ApiReply;
use crate::store::Fence;

/// How a replica dispatches.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker tasks; at least 1.
    pub workers: usize,
    /// Attempts that may begin per second, of all routes together.
    pub rate: Option<NonZeroU32>,
    /// How large what is produced may be; the producer's `message.max.bytes` is not below the largest.
    pub limits: RecordLimits,
    pub unprocessed_topic: String,
    /// What retries and dead letters say to tools of others.
    pub profile: HeaderProfile,
    /// How much of a failed event's data its log line shows, in bytes.
    pub logged_payload_bytes: usize,
    /// What of events' data is not told.
    pub redaction: Arc<Redaction>,
    /// Whether this is a replay, in which nothing is forwarded: neither to a retry topic nor to the dead letters.
    pub replaying: bool,
    /// Whether OpenTelemetry is on: spans then join the traces of their events.
    pub otel: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = RecordLimits::new(1_000_000, BTreeMap::new());
        Self {
            workers: 2,
            rate: None,
            limits,
            unprocessed_topic: "coafi.unprocessed".to_owned(),
            profile: HeaderProfile::Coafi,
            logged_payload_bytes: 512,
            redaction: Arc::default(),
            replaying: false,
            otel: false,
        }
    }
}

/// Everything between a polled record and the records to produce.
pub struct Dispatcher {
    shared: Arc<Shared>,
    renderer: Renderer,
    failures: FailureLog,
    submit: Submit,
    sink: ResultSink,
    runtime: Handle,
    /// The last claim of each partition, so that a run costs no copy of it.
    fences: Mutex<FxHashMap<PartitionId, Arc<Fence>>>,
}

/// What a dispatcher is made of.
pub struct Parts {
    pub services: Arc<Services>,
    pub audit: Arc<Audit>,
    /// What encodes replies to callers who wait; without it they get none.
    pub replies: Option<Encoder<ApiReply>>,
    /// Who is told of dead letters; without it nobody is.
    pub notices: Option<LetterNotices>,
    pub clock: Clock,
    /// Where results go.
    pub results: ResultSink,
}

impl Dispatcher {
    /// Starts the workers on `runtime`. Whoever gets [`Workers`] watches and stops them.
    #[must_use]
    pub fn start(settings: &Settings, parts: Parts, runtime: &Handle) -> (Self, Workers) {
        let Parts { services, audit, replies, notices, clock, results } = parts;
        let shared = Arc::new(Shared::new(services, clock, &audit.writer().run, settings));
        let (submit, workers) = Workers::start(runtime, &shared, settings.workers, &results);
        let dispatcher = Self {
            renderer: Renderer::new(audit, replies, notices, settings),
            failures: FailureLog::new(settings),
            shared,
            submit,
            sink: results,
            runtime: runtime.clone(),
            fences: Mutex::default(),
        };
        (dispatcher, workers)
    }

    /// The claim to give to a run's handlers. Without a database it is one that no database would accept.
    fn fence(&self, job: &Job<Arc<Delivery>>, claimed: Option<&Fence>) -> Arc<Fence> {
        let mut fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        let known = fences.get(&job.ticket.partition);
        if let Some(known) = known.filter(|known| claimed.map_or(UNCLAIMED, |c| c.epoch) == known.epoch) {
            return Arc::clone(known);
        }
        let record = job.payload.record();
        let fence = Arc::new(claimed.cloned().unwrap_or_else(|| Fence {
            group: self.renderer.audit().writer().group.clone(),
            topic: record.topic().to_string(),
            partition: record.partition(),
            epoch: UNCLAIMED,
        }));
        fences.insert(job.ticket.partition, Arc::clone(&fence));
        fence
    }
}

/// Of an error's message, where it explains why a partition stands.
const MAX_TROUBLE_BYTES: usize = 300;
/// Below every epoch that a database gives.
const UNCLAIMED: i64 = -1;

impl Application for Dispatcher {
    type Payload = Arc<Delivery>;
    type Report = Report;
    type Routes = Arc<Routing>;

    fn classify(&self, routes: &Self::Routes, record: Record, clock: &Clock) -> Arrival<Self::Payload> {
        classify(routes, record, clock)
    }

    fn reclassify(&self, routes: &Self::Routes, payload: &Self::Payload) -> Rerouted<Self::Payload> {
        reclassify(routes, payload)
    }

    fn retire(&self, routes: &Self::Routes) {
        routes.retire();
    }

    fn identity(&self, record: &Record) -> Option<Identity> {
        identity_of(record)
    }

    fn submit(&self, run: Vec<Job<Self::Payload>>, fence: Option<&Fence>) {
        let Some(first) = run.first() else { return };
        let fence = self.fence(first, fence);
        if let Err(refused) = self.submit.submit(run, fence) {
            let not_started = |job: Job<_>| Finished {
                ticket: job.ticket,
                verdict: Attempt::NotStarted,
                done: job.done,
                took: Duration::ZERO,
                wait: Duration::ZERO,
                report: None,
            };
            (self.sink)(refused.into_iter().map(not_started).collect());
        }
    }

    fn recall(&self, partition: PartitionId, epoch: Epoch) {
        self.submit.end(partition, epoch, Ending::Recalled);
    }

    fn cancel(&self, partition: PartitionId, epoch: Epoch) {
        self.submit.end(partition, epoch, Ending::Cancelled);
    }

    fn receipts(&self, batch: &PolledBatch<'_, Self::Payload>) -> Vec<Outgoing> {
        let ids = batch.records.iter().filter_map(|arrival| Some((arrival.offset, arrival.payload.event()?.id())));
        let now = || self.shared.clock.unix_ms(self.shared.clock.now());
        self.renderer.audit().receipts_of(&Polled {
            source: batch.source,
            epoch: i64::try_from(batch.epoch.0).unwrap_or(i64::MAX),
            from: batch.from,
            to: batch.to,
            received_ms: batch.records.first().map_or_else(now, |first| first.payload.received_ms),
            events: ids.collect(),
        })
    }

    fn render(
        &self,
        source: &TopicPartition,
        output: &Output<Self::Payload, Self::Report>,
        clock: &Clock,
        into: &mut Vec<Outgoing>,
    ) {
        self.renderer.render(source, output, clock, into);
    }

    fn committed(&self, outputs: &[Output<Self::Payload, Self::Report>]) {
        outputs.iter().for_each(|output| self.failures.tell(&self.renderer, output, &self.shared.clock));
    }

    fn trouble(&self, report: &Self::Report) -> Option<Trouble> {
        let (_, refusal) = report.refusal()?;
        let failure = &refusal.failure;
        // A message may hold a whole document.
        let end = failure.message.floor_char_boundary(MAX_TROUBLE_BYTES);
        let message = failure.message[..end].to_owned();
        Some(Trouble { class: failure.class.name(), code: failure.code.to_string(), message })
    }

    fn tenant(&self, payload: &Self::Payload) -> Option<String> {
        let tenant = payload.event()?.attribute(Attribute::TenantId)?;
        Some(tenant[..tenant.floor_char_boundary(MAX_TROUBLE_BYTES)].to_owned())
    }

    fn events_lost(&self, source: &TopicPartition, from: Offset, to: NextOffset) -> Vec<Outgoing> {
        let now = self.shared.clock.unix_ms(self.shared.clock.now());
        vec![self.renderer.audit().lost(source, from, to, now)]
    }

    fn down(&self, dependencies: BTreeSet<Dependency>) {
        self.shared.services.outages.are(dependencies);
    }

    /// The task is bounded by [`probe::PROBE_TIMEOUT`]; its result is the answer.
    fn probe(&self, dependency: &Dependency, answer: Box<dyn FnOnce(bool) + Send>) {
        let (shared, dependency) = (Arc::clone(&self.shared), dependency.clone());
        self.runtime.spawn(async move { answer(probe::answers(&shared.services, &dependency).await) });
    }
}
