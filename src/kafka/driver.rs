//! The poll thread: owns the consumer and the engine, and is the only one that talks to either.
//!
//! One turn: take what other threads report, poll a batch while the engine has room, carry out the engine's effects, and
//! sleep until the consumer's queue fills, somebody reports, or the engine's clock rings. The consumer's queue and every
//! reporter wake it through the inbox, so neither a record nor a result waits for a time-out. It knows nothing of events,
//! routes or handlers ([`Application`]), and decides nothing about records (the engine does).
//!
//! Keeps I4 (its part: what is polled or answered under an old epoch goes nowhere), I7 (its part: polls only while there is
//! room, and bounds librdkafka's queues) and I8 (wakes for the engine's clock).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::config::Config;
use super::context::GroupConsumer;
use super::dedup::Rebuild;
use super::inbox::{Input, Rebalance};
use super::lookup::Question;
use super::partitions::{Partition, Partitions};
use super::rebalance::Round;
use super::receipts::Receipt;
use super::rerouting::NextRoutes;
use super::seat::Seat;
use super::standing::{Standing, Troubles};
use super::status::{Counts, PartitionStatus, StatusCell};
use super::writer::Command;
use super::{Application, DriverError};
use crate::engine::{
    Attempt, CommitResult, Dependency, Engine, Epoch, Output, PartitionCommit, PartitionId, Time, TransactionId,
};
use crate::runtime::Clock;

/// The longest sleep. Wake-ups are not lost as far as known; if one is, this is what it costs.
const MAX_SLEEP: Duration = Duration::from_millis(100);
/// Inputs taken in one turn, so that polling goes on under any number of results.
const MAX_INPUTS: usize = 4096;
/// How often the assignment in the status is brought up to date, and the ends asked for.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Driver<A: Application> {
    pub(super) application: Arc<A>,
    /// Those in force.
    pub(super) routes: A::Routes,
    /// Those that are to follow.
    pub(super) next_routes: NextRoutes<A::Routes>,
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) engine: Engine<A::Payload, A::Report>,
    pub(super) consumer: Arc<GroupConsumer>,
    /// The same for other threads.
    pub(super) seat: Seat,
    /// Which consumer it is, counted from 0.
    pub(super) seat_number: u64,
    pub(super) inbox: Receiver<Input<A::Payload, A::Report>>,
    /// For answers to probes.
    pub(super) answers: Sender<Input<A::Payload, A::Report>>,
    /// Set by whoever has sent [`Input::Wake`] and not been heard yet.
    pub(super) awake: Arc<AtomicBool>,
    pub(super) partitions: Partitions<A::Payload>,
    pub(super) writer: Sender<Command<A::Payload, A::Report>>,
    pub(super) receipts: Sender<Receipt>,
    pub(super) questions: Sender<Question>,
    pub(super) windows: Sender<Rebuild>,
    pub(super) status: Arc<StatusCell>,
    pub(super) drain_timeout: Duration,
    pub(super) state: State<A>,
}

/// What changes from turn to turn.
pub(super) struct State<A: Application> {
    /// Rebalances that wait for the one in hand.
    pub(super) rebalances: VecDeque<Rebalance>,
    pub(super) round: Option<Round>,
    pub(super) tokens: u64,
    /// Since when the engine has had no room.
    pub(super) full_since: Option<Time>,
    /// Everything is paused, because the engine has had no room for long.
    pub(super) held: bool,
    /// Outputs of this turn, on their way to the writer.
    pub(super) staged: Vec<Output<A::Payload, A::Report>>,
    pub(super) committing: Option<Committing>,
    pub(super) polled: u64,
    pub(super) status_due: Time,
    /// The earliest time at which the proof of a partition's end is due.
    pub(super) proof_due: Option<Time>,
    pub(super) ends_asked: bool,
    /// Ownerships whose writes the database has refused.
    pub(super) fenced: BTreeSet<(PartitionId, Epoch)>,
    /// Partitions that are ours and of which nothing is read yet: new ones, and those that begin anew. The latter are assigned
    /// for librdkafka all the while.
    pub(super) unplaced: BTreeSet<usize>,
    /// Fetching met a position that does not exist. Which one is not said: all are looked at.
    pub(super) relocate: bool,
    /// Partitions that a shutdown has given up, as they were then: what the final status shows.
    pub(super) left: Vec<PartitionStatus>,
    /// When the drained replica must have ended.
    pub(super) shutdown_deadline: Option<Time>,
    /// How attempts failed, for the status.
    pub(super) troubles: Troubles,
    /// What the application was told to be down.
    pub(super) said_down: BTreeSet<Dependency>,
    /// Under which member id the partitions were given that there are.
    pub(super) member: Option<String>,
    /// When this static member was last fenced.
    pub(super) fenced_at: Option<Time>,
    pub(super) failed: Option<DriverError>,
}

/// The outstanding commit.
pub(super) struct Committing {
    pub(super) transaction: TransactionId,
    /// What it will have committed.
    pub(super) offsets: Vec<PartitionCommit>,
    /// When it is asked whether the ledger holds it up, unless that was asked.
    pub(super) ask_at: Option<Time>,
}

impl<A: Application> State<A> {
    pub(super) fn new() -> Self {
        Self {
            rebalances: VecDeque::new(),
            round: None,
            tokens: 0,
            full_since: None,
            held: false,
            staged: Vec::new(),
            committing: None,
            polled: 0,
            status_due: Time(0),
            proof_due: None,
            ends_asked: false,
            fenced: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            relocate: false,
            left: Vec::new(),
            shutdown_deadline: None,
            troubles: Troubles::default(),
            said_down: BTreeSet::new(),
            member: None,
            fenced_at: None,
            failed: None,
        }
    }

    /// Whether it is not decided yet which partitions this replica has, or from where it reads them.
    pub(super) fn is_settling(&self) -> bool {
        self.round.is_some() || !self.rebalances.is_empty() || !self.unplaced.is_empty() || self.relocate
    }
}

impl<A: Application> Driver<A> {
    /// Runs until the replica is shut down and drained, or cannot go on.
    ///
    /// # Errors
    /// What it cannot go on for. Nothing was committed that should not have been.
    pub(super) fn run(&mut self) -> Result<(), DriverError> {
        self.subscribe()?;
        loop {
            match self.turn() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => self.or_join_with_another_consumer(error)?,
            }
        }
    }

    /// True if it was the last.
    fn turn(&mut self) -> Result<bool, DriverError> {
        let now = self.clock.now();
        self.status.beat(now);
        let mut busy = self.take_inputs();
        busy |= self.poll()?;
        self.serve_rebalances()?;
        self.place();
        self.tick();
        busy |= self.carry_out()?;
        if let Some(error) = self.state.failed.take() {
            return Err(error);
        }
        if self.is_over()? {
            return Ok(true);
        }
        if !busy {
            self.sleep();
        }
        Ok(false)
    }

    pub(super) fn subscribe(&self) -> Result<(), DriverError> {
        let topics: Vec<&str> = self.config.topics.iter().map(String::as_str).collect();
        let subscribed = self.consumer.subscribe(&topics);
        subscribed.map_err(|source| DriverError::Subscribe { topics: topics.join(", "), source })
    }

    /// Whoever leaves has what is its own revoked first, as in any rebalance; librdkafka joins when that is answered.
    fn join_anew(&mut self) {
        if self.state.shutdown_deadline.is_some() || self.state.is_settling() {
            return;
        }
        self.consumer.unsubscribe();
        if let Err(error) = self.subscribe() {
            self.state.failed.get_or_insert(error);
        }
    }

    /// Whether a shutdown is complete.
    fn is_over(&mut self) -> Result<bool, DriverError> {
        let Some(deadline) = self.state.shutdown_deadline else { return Ok(false) };
        if self.engine.is_drained() && self.state.committing.is_none() {
            return Ok(true);
        }
        if self.clock.now() > deadline {
            return Err(DriverError::NotDrained(self.shutdown_timeout()));
        }
        Ok(false)
    }

    /// A backstop: the engine gives up what does not drain within its drain timeout, but not a commit that is under way.
    fn shutdown_timeout(&self) -> Duration {
        self.drain_timeout + self.config.commit_timeout
    }

    /// Everything that other threads have reported; true if there was anything.
    fn take_inputs(&mut self) -> bool {
        let mut count = 0;
        while count < MAX_INPUTS {
            let Ok(input) = self.inbox.try_recv() else { break };
            self.take(input);
            count += 1;
        }
        count > 0
    }

    fn take(&mut self, input: Input<A::Payload, A::Report>) {
        let now = self.clock.now();
        match input {
            Input::Wake => self.awake.store(false, Ordering::Release),
            Input::Finished(results) => {
                for finished in results {
                    self.note_trouble(&finished);
                    if finished.verdict == Attempt::Fenced {
                        self.state.fenced.insert((finished.ticket.partition, finished.ticket.epoch));
                    }
                    self.engine.finished(now, finished);
                }
            }
            Input::Ended { transaction, result } => {
                if matches!(result, CommitResult::Committed) {
                    self.note_committed(transaction);
                }
                self.state.committing = None;
                self.engine.transaction_ended(now, transaction, result);
            }
            Input::ReceiptsAcknowledged { partition, epoch, up_to } => {
                self.engine.receipts_acknowledged(now, partition, epoch, up_to);
            }
            Input::LedgerAnswers { answers, error } => {
                self.state.troubles.note_ledger(error);
                self.engine.ledger_answers(now, answers);
            }
            Input::ProducerReplaced => {
                if let Err(error) = self.give_up_all() {
                    self.state.failed.get_or_insert(error);
                }
            }
            Input::Rebalance { seat, rebalance } if seat == self.seat_number => {
                self.state.rebalances.push_back(rebalance);
            }
            // Of a consumer that is gone.
            Input::Rebalance { .. } => {}
            Input::Found(found) => self.found(found),
            Input::DedupRebuilt { partition, epoch, seen } => self.engine.dedup_rebuilt(now, partition, epoch, &seen),
            Input::Probed { dependency, up } => self.engine.probed(now, &dependency, up),
            Input::Reroute => self.reroute(),
            Input::JoinAnew => self.join_anew(),
            Input::Shutdown => {
                self.engine.shut_down(now);
                self.status.update(|status| status.ending = true);
                self.state.shutdown_deadline.get_or_insert(now + self.shutdown_timeout());
            }
            Input::Failed(error) => {
                self.state.failed.get_or_insert(error);
            }
        }
    }

    /// Other routes are in force from here on: records that are polled later are classified by them, those that are held
    /// are looked at again.
    fn reroute(&mut self) {
        let Some((routes, policies)) = self.next_routes.take() else { return };
        let application = Arc::clone(&self.application);
        self.engine.reroute(self.clock.now(), policies, |payload| application.reclassify(&routes, payload));
        // After that: what is given back as not started is of the new routes already.
        let old = std::mem::replace(&mut self.routes, routes);
        application.retire(&old);
    }

    fn note_committed(&mut self, transaction: TransactionId) {
        self.status.update(|status| (status.brokers_down, status.trouble) = (false, None));
        let Some(committing) = self.state.committing.take() else { return };
        debug_assert_eq!(committing.transaction, transaction, "one commit at a time");
        for commit in committing.offsets {
            if let Some(owned) =
                self.partitions.current(commit.partition, commit.epoch).and_then(|partition| partition.owned.as_mut())
            {
                owned.note_committed(commit.position);
            }
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.engine.next_wake().is_some_and(|due| due <= now) {
            self.engine.tick(now);
        }
        if self.state.proof_due.is_some_and(|due| due <= now) {
            self.ask_for_proofs(now);
        }
        if self.state.status_due <= now {
            self.state.status_due = now + STATUS_INTERVAL;
            self.ask_for_ends();
            self.ask_the_ledger(now);
            self.publish_status();
        }
    }

    /// A commit takes long: is it the ledger? Receipts tell, where any are outstanding; else somebody has to ask.
    fn ask_the_ledger(&mut self, now: Time) {
        let Some(committing) = &mut self.state.committing else { return };
        if committing.ask_at.take_if(|at| *at <= now).is_some() {
            // If the thread is gone it has said why, and the replica ends in this turn.
            let _ = self.receipts.send(Receipt::Ask);
        }
    }

    /// Brings the shared status up to date. Counts of outcomes are added by the writer.
    pub(super) fn publish_status(&mut self) {
        let polled = std::mem::take(&mut self.state.polled);
        let now = self.clock.now();
        let mut standing = self.standing(now);
        let owned = self.partitions.iter().filter_map(|partition| {
            let status = self.partition_status(partition)?;
            Some(PartitionStatus { standing: standing.remove(&partition.id).unwrap_or_default(), ..status })
        });
        let assignment = owned.chain(self.state.left.iter().cloned()).collect();
        let unplaced = self.state.unplaced.iter().map(|&index| self.partitions.source(index).clone()).collect();
        let settling = self.state.is_settling();
        let (census, buffered_bytes) = (self.engine.census(), self.engine.buffered_bytes() as u64);
        let open_circuits: Vec<Dependency> = self.engine.open_circuits().cloned().collect();
        let unneeded: Vec<Dependency> = self.engine.unneeded().cloned().collect();
        let outages = self.state.troubles.outages();
        self.tell_of_outages(&open_circuits, &unneeded);
        self.status.update(|status| {
            (status.assignment, status.settling) = (assignment, settling);
            (status.unplaced, status.looked_at, status.outages) = (unplaced, now, outages);
            (status.census, status.buffered_bytes) = (census, buffered_bytes);
            (status.open_circuits, status.unneeded) = (open_circuits, unneeded);
            status.counts += Counts { polled, ..Counts::default() };
        });
    }

    pub(super) fn partition_status(&self, partition: &Partition<A::Payload>) -> Option<PartitionStatus> {
        let owned = partition.owned.as_ref()?;
        Some(PartitionStatus {
            source: partition.source.clone(),
            committed: owned.committed,
            polled: owned.polled.max(owned.proven_end),
            end: owned.end,
            oldest_ms: owned.oldest_ms(),
            census: self.engine.census_of(partition.id),
            draining: owned.draining,
            standing: Standing::default(),
        })
    }

    fn sleep(&mut self) {
        let now = self.clock.now();
        let due = [self.engine.next_wake(), self.state.proof_due, Some(self.state.status_due)];
        let next = due.into_iter().flatten().min().map_or(MAX_SLEEP, |due| due - now);
        match self.inbox.recv_timeout(next.min(MAX_SLEEP)) {
            Ok(input) => self.take(input),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("the driver holds a sender itself"),
        }
    }
}
