//! A running replica: its threads, and the handle that owns them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, info};

use super::at_least_once::AtLeastOnce;
use super::config::{Config, Delivery};
use super::context::{GroupConsumer, GroupContext, Reporter};
use super::dedup::Windows;
use super::driver::{Driver, State};
use super::inbox::{Inbox, Input};
use super::lookup::{Lookups, Question};
use super::partitions::Partitions;
use super::receipts::{Receipt, Receipts, Reports};
use super::reporting::{Reporting, StatusRecords};
use super::rerouting::{NextRoutes, Rerouter};
use super::seat::Seat;
use super::side::SideReader;
use super::status::{Status, StatusCell};
use super::stop::Stop;
use super::transactions::Transactions;
use super::vacancies::Vacancies;
use super::writer::Writer;
use super::{Application, Claims, DriverError};
use crate::engine::{Engine, RoutePolicy, Settings};
use crate::runtime::Clock;

/// The number of the consumer that a replica begins with.
const FIRST_SEAT: u64 = 0;

/// What a replica is made of.
pub struct Parts<A: Application> {
    pub config: Config,
    pub application: Arc<A>,
    /// Made before the application, whose workers report to it.
    pub inbox: Inbox<A::Payload, A::Report>,
    pub settings: Settings,
    pub routes: A::Routes,
    /// In the order of the application's route ids.
    pub policies: Vec<RoutePolicy>,
    pub clock: Clock,
    /// Feeds the jitter of back-offs.
    pub seed: u64,
    /// The database's claim on partitions, if there is a database.
    pub claims: Option<Box<dyn Claims>>,
    /// How the replica's status is written down, if it is to be published.
    pub reports: Option<Box<dyn StatusRecords>>,
}

/// A running replica. Dropped without [`Replica::shutdown`], it drains in the background.
pub struct Replica<A: Application> {
    status: Arc<StatusCell>,
    clock: Clock,
    inbox: Sender<Input<A::Payload, A::Report>>,
    next_routes: NextRoutes<A::Routes>,
    ended: oneshot::Receiver<Result<(), DriverError>>,
    thread: Option<JoinHandle<()>>,
}

impl<A: Application> Replica<A> {
    /// Starts the threads. Returns at once: a broker that is not there yet is waited for, and [`Replica::status`] says so.
    ///
    /// # Errors
    /// A configuration that librdkafka refuses, or a thread that cannot be started.
    pub fn start(parts: Parts<A>) -> Result<Self, DriverError> {
        let Parts { config, application, inbox, settings, routes, policies, clock, seed, claims, reports } = parts;
        let config = Arc::new(config);
        let status = Arc::new(StatusCell::default());
        let stop = Stop::default();
        let awake = Arc::new(AtomicBool::new(false));
        let consumer = consumer(&config, FIRST_SEAT, &status, &inbox.sender, &awake)?;
        let seat = Seat::new(Arc::clone(&consumer));
        let threads = Threads { config: &config, status: &status, stop: &stop, seat: &seat };

        let (writer, commands) = channel();
        let (receipts, receipt_commands) = channel();
        let (questions, asked) = channel();
        let (windows, requests) = channel();
        let mut joins = Vec::new();
        let answers = &inbox.sender;

        joins.push(threads.writer(Arc::clone(&application), clock, (answers, questions.clone()), commands)?);
        joins.push(threads.receipts(answers, receipts.clone(), receipt_commands)?);
        let lookups = Lookups {
            config: Arc::clone(&config),
            seat: seat.clone(),
            claims,
            answers: answers.clone(),
            reporter: threads.reporter("lookup"),
            stop: stop.clone(),
            side: SideReader::new(Arc::clone(&config), "ends", threads.reporter("lookup")),
            cluster: None,
            tries: 0,
        };
        joins.push(spawn("coafi-lookup", answers.clone(), move || lookups.run(&asked))?);
        let rebuilds = Windows {
            application: Arc::clone(&application),
            side: SideReader::new(Arc::clone(&config), "windows", threads.reporter("windows")),
            answers: answers.clone(),
            stop: stop.clone(),
        };
        joins.push(spawn("coafi-windows", answers.clone(), move || rebuilds.run(&requests))?);

        let vacancies =
            Vacancies { config: Arc::clone(&config), seat: seat.clone(), answers: answers.clone(), stop: stop.clone() };
        joins.push(spawn("coafi-vacancies", answers.clone(), move || vacancies.run())?);

        if let Some(records) = reports {
            let reporter = threads.reporter("status");
            let reporting = Reporting::start(&config, reporter, records, clock, stop.clone())?;
            joins.push(spawn("coafi-status", answers.clone(), move || {
                // Nothing rests on it: not even its own mistakes stop the replica.
                if catch_unwind(AssertUnwindSafe(|| reporting.run())).is_err() {
                    error!("the status of this replica is published no more: its thread has panicked");
                }
            })?);
        }

        let drain_timeout = settings.drain_timeout;
        let inbox_sender = inbox.sender.clone();
        let next_routes = NextRoutes::new();
        let driver = Driver {
            application,
            routes,
            next_routes: next_routes.clone(),
            config,
            clock,
            engine: Engine::new(settings, policies, seed),
            consumer,
            seat,
            seat_number: FIRST_SEAT,
            inbox: inbox.receiver,
            answers: inbox.sender,
            awake,
            partitions: Partitions::new(),
            writer,
            receipts,
            questions,
            windows,
            status: Arc::clone(&status),
            drain_timeout,
            state: State::new(),
        };
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("coafi-poll".to_owned())
            .spawn(move || {
                let result = live(driver, &stop, joins);
                // Nobody listens if the handle was dropped.
                let _ = end.send(result);
            })
            .map_err(|source| DriverError::Thread { name: "coafi-poll", source })?;
        Ok(Self { status, clock, inbox: inbox_sender, next_routes, ended, thread: Some(thread) })
    }

    /// What the replica is doing now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.snapshot()
    }

    /// For a health check that must not own the replica: the same snapshot, and how long ago the poll thread was alive.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { status: Arc::clone(&self.status), clock: self.clock }
    }

    /// Gives it other routes.
    #[must_use]
    pub fn rerouter(&self) -> Rerouter<A> {
        Rerouter { next: self.next_routes.clone(), inbox: self.inbox.clone() }
    }

    /// Waits until the replica ends by itself: for good reason, or after [`Replica::request_shutdown`].
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn ended(&mut self) -> Result<Status, DriverError> {
        let result = (&mut self.ended).await.unwrap_or(Err(DriverError::Panicked("coafi-poll")));
        if let Some(thread) = self.thread.take() {
            // It has sent its result as its last act; a panic in it is that result.
            let _ = thread.join();
        }
        result.map(|()| self.status())
    }

    /// Begins to drain: nothing new starts, what runs may finish, what is done is committed.
    pub fn request_shutdown(&self) {
        // If the replica has ended already, so much the better.
        let _ = self.inbox.send(Input::Shutdown);
    }

    /// Drains and ends, within the engine's drain timeout and [`Config::commit_timeout`].
    ///
    /// # Errors
    /// [`DriverError::NotDrained`], or what ended the replica before.
    pub async fn shutdown(mut self) -> Result<Status, DriverError> {
        self.request_shutdown();
        self.ended().await
    }
}

impl<A: Application> Drop for Replica<A> {
    fn drop(&mut self) {
        self.request_shutdown();
    }
}

impl<A: Application> std::fmt::Debug for Replica<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Looks at a replica from elsewhere.
#[derive(Clone, Debug)]
pub struct Watch {
    status: Arc<StatusCell>,
    clock: Clock,
}

impl Watch {
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.snapshot()
    }

    /// How long the commits since the last call took: for one caller, who measures.
    #[must_use]
    pub fn take_commit_times(&self) -> Vec<Duration> {
        self.status.take_commit_times()
    }

    /// How long ago the poll thread was seen alive; a second is long.
    #[must_use]
    pub fn since_beat(&self) -> Duration {
        self.status.since_beat(self.clock.now())
    }
}

type Answers<A> = Sender<Input<<A as Application>::Payload, <A as Application>::Report>>;

/// The poll thread's life, with an orderly end: the other threads first, the consumer last.
fn live<A: Application>(mut driver: Driver<A>, stop: &Stop, joins: Vec<JoinHandle<()>>) -> Result<(), DriverError> {
    let result = catch_unwind(AssertUnwindSafe(|| driver.run()));
    driver.status.update(|status| {
        status.ending = true;
        status.ended_well = matches!(result, Ok(Ok(())));
        status.failure = match &result {
            Ok(ended) => ended.as_ref().err().map(ToString::to_string),
            Err(_) => Some("the poll thread panicked".to_owned()),
        };
    });
    driver.publish_status();
    stop.set();
    driver.answer_all();
    GroupContext::leave(&driver.consumer);
    let Driver { consumer, seat, writer, receipts, questions, windows, config, inbox, answers, .. } = driver;
    // The receipts' thread holds a sender to itself, so it is told.
    let _ = receipts.send(Receipt::Stop);
    drop((writer, receipts, questions, windows));
    for join in joins {
        // Each thread catches its own panics and reports them.
        let _ = join.join();
    }
    // The last owner: waits until it has left the group.
    drop((seat, consumer));
    drop((inbox, answers));
    info!(group = config.group, "replica has ended");
    result.unwrap_or(Err(DriverError::Panicked("coafi-poll")))
}

/// The consumer with this number of a replica.
pub(super) fn consumer<P: Send + 'static, R: Send + 'static>(
    config: &Config,
    seat: u64,
    status: &Arc<StatusCell>,
    inbox: &Sender<Input<P, R>>,
    awake: &Arc<AtomicBool>,
) -> Result<Arc<GroupConsumer>, DriverError> {
    let reporter = Reporter { client: "consumer", status: Arc::clone(status) };
    let rebalances = inbox.clone();
    let context = GroupContext::new(reporter, move |rebalance| {
        // The poll thread calls this itself, from within `poll`.
        let _ = rebalances.send(Input::Rebalance { seat, rebalance });
    });
    let mut consumer: GroupConsumer = config.consumer()?.create_with_context(context).map_err(DriverError::Client)?;
    let (wake, awake) = (inbox.clone(), Arc::clone(awake));
    consumer.set_nonempty_callback(move || {
        if !awake.swap(true, Ordering::AcqRel) {
            // After the poll thread's end nobody needs to wake.
            let _ = wake.send(Input::Wake);
        }
    });
    Ok(Arc::new(consumer))
}

/// What the threads share.
struct Threads<'a> {
    config: &'a Arc<Config>,
    status: &'a Arc<StatusCell>,
    stop: &'a Stop,
    seat: &'a Seat,
}

impl Threads<'_> {
    fn reporter(&self, client: &'static str) -> Reporter {
        Reporter { client, status: Arc::clone(self.status) }
    }

    fn writer<A: Application>(
        &self,
        application: Arc<A>,
        clock: Clock,
        (answers, questions): (&Answers<A>, Sender<Question>),
        commands: std::sync::mpsc::Receiver<super::writer::Command<A::Payload, A::Report>>,
    ) -> Result<JoinHandle<()>, DriverError> {
        let (config, reporter) = (Arc::clone(self.config), self.reporter("outcomes"));
        let (stop, seat, status) = (self.stop.clone(), self.seat.clone(), Arc::clone(self.status));
        let own = answers.clone();
        spawn("coafi-writer", answers.clone(), move || {
            let failures = own.clone();
            let result = match config.delivery {
                Delivery::Transactional => Transactions::start(config, reporter, stop.clone(), seat).map(|delivery| {
                    Writer { application, clock, delivery, answers: own, questions, status, stop }.run(&commands);
                }),
                Delivery::AtLeastOnce => AtLeastOnce::start(config, reporter, stop.clone()).map(|delivery| {
                    Writer { application, clock, delivery, answers: own, questions, status, stop }.run(&commands);
                }),
            };
            if let Err(error) = result {
                // Nobody listens only if the poll thread has ended.
                let _ = failures.send(Input::Failed(error));
            }
        })
    }

    fn receipts<P: Send + 'static, R: Send + 'static>(
        &self,
        answers: &Sender<Input<P, R>>,
        commands: Sender<Receipt>,
        received: std::sync::mpsc::Receiver<Receipt>,
    ) -> Result<JoinHandle<()>, DriverError> {
        let reports = Reports::new(commands);
        let receipts = Receipts::start(Arc::clone(self.config), self.reporter("receipts"), reports, answers.clone())?;
        spawn("coafi-receipts", answers.clone(), move || receipts.run(&received))
    }
}

/// A thread whose panic ends the replica.
fn spawn<P: Send + 'static, R: Send + 'static>(
    name: &'static str,
    answers: Sender<Input<P, R>>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, DriverError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                // Nobody listens only if the poll thread has ended.
                let _ = answers.send(Input::Failed(DriverError::Panicked(name)));
            }
        })
        .map_err(|source| DriverError::Thread { name, source })
}
