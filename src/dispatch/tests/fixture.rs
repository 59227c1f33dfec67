//! What the tests of dispatching are made of: records, routes, scripted handlers, workers whose results can be waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::connectors::git::Repositories;
use crate::dispatch::delivery::Delivery;
use crate::dispatch::shared::Shared;
use crate::dispatch::workers::{Submit, Workers};
use crate::dispatch::{
    Context, DispatcherSettings, Failure, Handler, Handlers, Known, Outages, Report, Routes, Routing, Services,
    Success, classify, once,
};
use crate::engine::{Class, Epoch, Finished, Job, PartitionId, RouteId, Ticket};
use crate::event::{Event, Offset, Record, RecordBuilder};
use crate::notify::Notifier;
use crate::runtime::Clock;
use crate::schema::json::JsonSchemas;
use crate::schema::registry::{Client, Settings as RegistrySettings};
use crate::schema::{BuiltinRegistry, Codec};
use crate::store::{
    CancelAsked, Committed, DueNotices, DueTimer, EntriesPage, Entry, EntryFilter, EntryStanding, Fence, Figures,
    HistoryKept, InboxKey, Notices, Period, Registries, RegistrySummary, RunFilter, RunsOfStatus, Said, Store,
    StoreError, StoredEntry, StoredRun, StoredStep, StoredVersion, Unchanged, UnitOfWork, WaitingStep, Workflows,
};

/// Real services but for the database; the tests here use only the codec and the inbox.
pub(in crate::dispatch) struct Backing {
    pub(in crate::dispatch) services: Arc<Services>,
    _registry: BuiltinRegistry,
    _directory: tempfile::TempDir,
}

impl Backing {
    pub(in crate::dispatch) async fn new() -> Self {
        Self::over(Results::default()).await
    }

    async fn over(store: Results) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let services = Services {
            codec: Codec::new(Client::new(RegistrySettings::new(registry.url())).unwrap(), true),
            store: Arc::new(store),
            artifacts: Arc::new(object_store::local::LocalFileSystem::new_with_prefix(directory.path()).unwrap()),
            repositories: Arc::new(Repositories::default()),
            json_schemas: Arc::new(JsonSchemas::default()),
            workflows: Arc::default(),
            endpoints: Arc::default(),
            registries: Arc::default(),
            notifier: Arc::new(Notifier::silent()),
            outages: Outages::default(),
        };
        Self { services: Arc::new(services), _registry: registry, _directory: directory }
    }
}

/// Routes over handlers `a`, `b` and `c`.
pub(in crate::dispatch) fn routes(text: &str) -> Arc<Routes> {
    let known = Known { handlers: ["a", "b", "c"].map(str::to_owned).into(), ..Known::default() };
    Arc::new(Routes::parse("test_routes.yaml", text, &known).unwrap())
}

/// An event of type `t` with these further headers.
pub(in crate::dispatch) fn record(topic: &str, offset: i64, headers: &[(&str, &str)]) -> Record {
    let id = format!("id-{offset}");
    let mut builder = RecordBuilder::new(Some(b"key"), Some(br#"{"n":1}"#), 256);
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", id.as_str()),
        ("ce_source", "/source"),
        ("ce_type", "t"),
        ("content-type", "application/json"),
    ];
    for (name, value) in attributes.iter().chain(headers) {
        builder.header(name.as_bytes(), Some(value.as_bytes()));
    }
    builder.build(topic.into(), 3, Offset(offset), Some(1_700_000_000_000))
}

/// As the poll thread makes it.
pub(in crate::dispatch) fn delivery(routing: &Arc<Routing>, record: Record) -> Arc<Delivery> {
    classify::classify(routing, record, &Clock::start()).payload
}

/// These routes with handlers that nobody calls.
pub(in crate::dispatch) fn routing(routes: Arc<Routes>) -> Arc<Routing> {
    let nothing = || Arc::new(Scripted::new(Script::Succeed(Success::default()))) as Arc<dyn Handler>;
    let names: std::collections::BTreeSet<String> =
        routes.list().iter().flat_map(|route| route.handlers.iter().cloned()).collect();
    let built = names.iter().map(|name| (name.as_str(), nothing())).collect();
    let handlers = Handlers::by_name(&routes, &built);
    Arc::new(Routing::new(routes, handlers))
}

pub(in crate::dispatch) fn job(payload: Arc<Delivery>, partition: u32, epoch: u64) -> Job<Arc<Delivery>> {
    let offset = payload.record().offset();
    let sequence = u64::try_from(offset.0).unwrap();
    let ticket = Ticket { partition: PartitionId(partition), epoch: Epoch(epoch), offset, sequence };
    Job { ticket, route: RouteId(0), attempt: 1, done: 0, payload }
}

/// What a scripted handler does with every event.
#[derive(Clone)]
pub(in crate::dispatch) enum Script {
    Succeed(Success),
    Fail(Failure),
    /// Only the event with this offset.
    FailAt(i64, Failure),
    Panic(&'static str),
    /// Panics when it is polled for the second time.
    PanicLater(&'static str),
    Hang,
    /// Makes its effect, and fails after it.
    FailLate(Failure),
    /// Waits until the gate is open.
    Gate(watch::Receiver<bool>),
}

/// Counts its starts.
pub(in crate::dispatch) struct Scripted {
    script: Script,
    pub(in crate::dispatch) starts: Arc<AtomicUsize>,
}

impl Scripted {
    pub(in crate::dispatch) fn new(script: Script) -> Self {
        Self { script, starts: Arc::default() }
    }
}

#[async_trait]
impl Handler for Scripted {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        match self.script.clone() {
            Script::Succeed(success) => Ok(success),
            Script::Fail(failure) => Err(failure),
            Script::FailAt(offset, failure) if event.record().offset() == Offset(offset) => Err(failure),
            Script::FailAt(..) => Ok(Success::default()),
            Script::Panic(message) => panic!("{message}"),
            Script::PanicLater(message) => {
                tokio::task::yield_now().await;
                panic!("{message}")
            }
            Script::Hang => std::future::pending().await,
            Script::FailLate(failure) => {
                let success = Success { message: "made".to_owned(), ..Success::default() };
                once::commit(event, context, Vec::new(), success).await?;
                Err(failure)
            }
            Script::Gate(mut gate) => {
                gate.wait_for(|open| *open).await.map_err(|e| Failure::permanent("gate", e))?;
                Ok(Success::default())
            }
        }
    }
}

pub(in crate::dispatch) fn fail(class: Class) -> Failure {
    Failure::new(class, "scripted", "as the script says")
}

/// One worker over scripted handlers, and its results.
pub(in crate::dispatch) struct Bench {
    pub(in crate::dispatch) routing: Arc<Routing>,
    pub(in crate::dispatch) submit: Submit,
    workers: Option<Workers>,
    pub(in crate::dispatch) starts: BTreeMap<&'static str, Arc<AtomicUsize>>,
    results: UnboundedReceiver<Finished<Report>>,
    _backing: Backing,
}

/// The next bench of the same test starts a registry, whose time-outs are not to be skipped.
impl Drop for Bench {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// Keeps results in memory: under a paused clock a real database's time-outs are over before it answers. Handlers here change
/// no entries.
#[derive(Debug, Default)]
struct Results {
    kept: Mutex<HashMap<InboxKey, Bytes>>,
    away: bool,
}

impl Results {
    fn answer<T>(&self, answer: T) -> Result<T, StoreError> {
        let message = "away".to_owned();
        if self.away { Err(StoreError::Unavailable { url: "memory".to_owned(), message }) } else { Ok(answer) }
    }
}

#[async_trait]
impl Store for Results {
    async fn ping(&self) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn claim(&self, _: &str, _: &[(String, i32, i64)]) -> Result<Vec<Fence>, StoreError> {
        unreachable!("the driver claims")
    }

    async fn inbox(&self, key: &InboxKey) -> Result<Option<Bytes>, StoreError> {
        self.answer(self.kept.lock().unwrap().get(key).cloned())
    }

    async fn commit(&self, work: UnitOfWork) -> Result<Committed, StoreError> {
        self.kept.lock().unwrap().insert(work.inbox, work.result);
        self.answer(Committed::Written(Vec::new()))
    }

    async fn entry(&self, _: &str, _: &str) -> Result<Option<Entry>, StoreError> {
        self.answer(None)
    }

    async fn standing(&self, _: &str, _: &str) -> Result<EntryStanding, StoreError> {
        self.answer(EntryStanding::default())
    }

    async fn entries(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<Entry>, StoreError> {
        self.answer(Vec::new())
    }

    async fn purge_inbox(&self, _: Duration, _: u32) -> Result<u64, StoreError> {
        self.answer(0)
    }
}

#[async_trait]
impl Workflows for Results {
    async fn workflow_run(&self, _: &str, _: &str) -> Result<Option<StoredRun>, StoreError> {
        self.answer(None)
    }

    async fn workflow_runs(&self, _: &str, _: &RunFilter, _: u32) -> Result<Vec<StoredRun>, StoreError> {
        self.answer(Vec::new())
    }

    async fn workflow_steps(&self, _: &str, _: &str) -> Result<Vec<StoredStep>, StoreError> {
        self.answer(Vec::new())
    }

    async fn lease_timers(&self, _: &str, _: u32, _: Duration) -> Result<Vec<DueTimer>, StoreError> {
        self.answer(Vec::new())
    }

    async fn delete_timers(&self, _: &str, _: &[String]) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn awaited_correlations(&self, _: &str, _: &str, _: u32) -> Result<Vec<String>, StoreError> {
        self.answer(Vec::new())
    }

    async fn waiting_steps(&self, _: &str, _: &str, _: &str, _: &str, _: u32) -> Result<Vec<WaitingStep>, StoreError> {
        self.answer(Vec::new())
    }

    async fn ask_to_cancel(&self, _: &str, _: &str, _: &CancelAsked) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn cancel_asked(&self, _: &str, _: &str) -> Result<Option<CancelAsked>, StoreError> {
        self.answer(None)
    }

    async fn purge_workflow_runs(&self, _: Duration, _: u32) -> Result<u64, StoreError> {
        self.answer(0)
    }
}

#[async_trait]
impl Notices for Results {
    async fn was_said(&self, _: &str, _: &str, _: &Said) -> Result<bool, StoreError> {
        self.answer(false)
    }

    async fn lease_notices(&self, _: &str, _: u32, _: Duration) -> Result<Vec<DueNotices>, StoreError> {
        self.answer(Vec::new())
    }

    async fn delete_notices(&self, _: &str, _: &str) -> Result<(), StoreError> {
        self.answer(())
    }

    async fn purge_said(&self, _: u32) -> Result<u64, StoreError> {
        self.answer(0)
    }
}

#[async_trait]
impl Figures for Results {
    async fn handled(&self, _: &str, _: Period, _: u32) -> Result<Vec<(String, i64)>, StoreError> {
        self.answer(Vec::new())
    }

    async fn runs_by_status(&self, _: &str, _: Period, _: u32) -> Result<Vec<RunsOfStatus>, StoreError> {
        self.answer(Vec::new())
    }
}

#[async_trait]
impl Registries for Results {
    async fn registries(&self, _: Option<&str>, _: u32) -> Result<Vec<RegistrySummary>, StoreError> {
        self.answer(Vec::new())
    }

    async fn stored_entry(&self, _: &str, _: &str) -> Result<Option<StoredEntry>, StoreError> {
        self.answer(None)
    }

    async fn find_entries(&self, _: &str, _: &EntryFilter, _: Option<&str>, _: u32) -> Result<EntriesPage, StoreError> {
        self.answer(EntriesPage::default())
    }

    async fn entry_history(&self, _: &str, _: &str, _: Option<i64>, _: u32) -> Result<Vec<StoredVersion>, StoreError> {
        self.answer(Vec::new())
    }

    async fn index_entries(&self, _: u32) -> Result<u64, StoreError> {
        self.answer(0)
    }

    async fn outdated_versions(&self, _: &str, _: HistoryKept, _: u32) -> Result<Vec<StoredVersion>, StoreError> {
        self.answer(Vec::new())
    }

    async fn delete_versions(&self, _: &[StoredVersion]) -> Result<u64, StoreError> {
        self.answer(0)
    }

    async fn unchanged_entries(&self, _: &str, _: Unchanged, _: u32) -> Result<Vec<StoredVersion>, StoreError> {
        self.answer(Vec::new())
    }
}

/// A result that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(600);

impl Bench {
    /// With the clock paused from here on.
    pub(in crate::dispatch) async fn new(text: &str, scripts: &[(&'static str, Script)]) -> Self {
        Self::over(Results::default(), text, scripts).await
    }

    /// With a database that does not answer.
    pub(in crate::dispatch) async fn without_database(text: &str, scripts: &[(&'static str, Script)]) -> Self {
        Self::over(Results { away: true, ..Results::default() }, text, scripts).await
    }

    async fn over(store: Results, text: &str, scripts: &[(&'static str, Script)]) -> Self {
        let backing = Backing::over(store).await;
        tokio::time::pause();
        let routes = routes(text);
        let mut starts = BTreeMap::new();
        let mut built: BTreeMap<&str, Arc<dyn Handler>> = BTreeMap::new();
        for (name, script) in scripts {
            let handler = Scripted::new(script.clone());
            starts.insert(*name, Arc::clone(&handler.starts));
            built.insert(name, Arc::new(handler));
        }
        let handlers = Handlers::by_name(&routes, &built);
        let services = Arc::clone(&backing.services);
        let routing = Arc::new(Routing::new(routes, handlers));
        let shared = Shared::new(services, Clock::start(), "", &DispatcherSettings::default());
        let (sender, results) = unbounded_channel();
        let sink: crate::dispatch::ResultSink = Arc::new(move |batch| {
            for finished in batch {
                // A test that has ended wants no more results.
                let _ended = sender.send(finished);
            }
        });
        let runtime = tokio::runtime::Handle::current();
        let (submit, workers) = Workers::start(&runtime, &Arc::new(shared), 1, &sink);
        Self { routing, submit, workers: Some(workers), starts, results, _backing: backing }
    }

    pub(in crate::dispatch) fn starts(&self, handler: &str) -> usize {
        self.starts[handler].load(Ordering::Relaxed)
    }

    /// A run of events at these offsets of partition 0, epoch 1.
    pub(in crate::dispatch) fn run(&self, offsets: std::ops::Range<i64>) {
        self.run_of(0, 1, offsets);
    }

    pub(in crate::dispatch) fn run_of(&self, partition: u32, epoch: u64, offsets: std::ops::Range<i64>) {
        let jobs = offsets.map(|offset| job(delivery(&self.routing, record("topic", offset, &[])), partition, epoch));
        self.submit(jobs.collect());
    }

    pub(in crate::dispatch) fn submit(&self, jobs: Vec<Job<Arc<Delivery>>>) {
        let fence = Fence { group: "group".into(), topic: "topic".into(), partition: 3, epoch: 1 };
        assert!(self.submit.submit(jobs, Arc::new(fence)).is_ok(), "the workers run");
    }

    /// The next results, in order of their arrival.
    pub(in crate::dispatch) async fn results(&mut self, count: usize) -> Vec<Finished<Report>> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let next = tokio::time::timeout(PATIENCE, self.results.recv()).await;
            all.push(next.unwrap_or_else(|_| panic!("{} of {count} results came", all.len())).unwrap());
        }
        all
    }

    pub(in crate::dispatch) async fn stop(&mut self) {
        self.workers.take().unwrap().stop().await.unwrap();
    }

    /// Waits until a handler was started this often.
    pub(in crate::dispatch) async fn started(&self, handler: &str, count: usize) {
        for _ in 0..100_000 {
            if self.starts(handler) >= count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{handler} was started {} times instead of {count}", self.starts(handler));
    }
}
