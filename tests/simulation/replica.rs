//! One process: the engine, and the driver's duties towards it and towards Kafka. What the real driver in `src/kafka` does
//! on threads happens here as events on the world's queue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coafi_core::engine::{Dependency, Effect, Engine, Epoch, Incident, Job, PartitionId, Time, TransactionId};
use coafi_core::event::NextOffset;

use crate::broker::Outcome;
use crate::checks::{Checked, ensure};
use crate::clock::Clock;
use crate::commit::Commit;
use crate::coordinator::{MemberId, Sync};
use crate::custody::Custody;
use crate::handlers::{Payload, Report, SHOP};
use crate::ledger::{self, Receipt};
use crate::polling::Batch;
use crate::working::Running;
use crate::world::{Event, LARGEST, World};

/// Inputs in one instant after which the engine is taken to spin.
const SPIN_LIMIT: u32 = 2000;

#[derive(Debug)]
pub(crate) enum Input {
    Poll,
    Wake,
    /// Effects of earlier inputs of the same step.
    Settle,
    /// What was polled reaches the engine; meanwhile the partition may be gone.
    Records(Batch),
    Receipt(Receipt),
    Dedup {
        partition: PartitionId,
        epoch: Epoch,
        position: NextOffset,
        window: u32,
    },
    JobEnds {
        run: u64,
    },
    Recall {
        run: u64,
    },
    Stop {
        run: u64,
    },
    SendOffsets(TransactionId),
    EndTransaction(TransactionId),
    Resolve(TransactionId),
    /// It could not be committed in time.
    GiveUp(TransactionId),
    Ended {
        transaction: TransactionId,
        committed: bool,
    },
    Fenced,
    Probed(Dependency),
    LookAtTheLedger,
    LedgerIsBack,
    Synced(Sync),
    FetchOffsets(PartitionId),
    /// The group says that this member is not one.
    Evicted(MemberId),
    /// The database refused a write: somebody claimed the partition later.
    Refused {
        partition: PartitionId,
        epoch: Epoch,
    },
    /// Retention has passed the position that was to be read.
    OutOfRange {
        partition: PartitionId,
        epoch: Epoch,
    },
    Thaw,
    /// This version of the routes is in force.
    Reroute(usize),
    ShutDown,
}

/// A partition that the engine was given.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) epoch: Epoch,
    pub(crate) claim: i64,
    pub(crate) fetch: NextOffset,
    pub(crate) reported_end: Option<NextOffset>,
    pub(crate) paused: bool,
    /// On the engine's clock.
    pub(crate) revoked_at: Option<Time>,
    pub(crate) receipts_at: Time,
    window_full: bool,
}

impl Held {
    pub(crate) fn new(epoch: Epoch, claim: i64, fetch: NextOffset, now: Time) -> Self {
        Self {
            epoch,
            claim,
            fetch,
            reported_end: None,
            paused: false,
            revoked_at: None,
            receipts_at: now,
            window_full: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) slot: usize,
    pub(crate) id: u64,
    pub(crate) engine: Engine<Payload, Report>,
    pub(crate) member: MemberId,
    pub(crate) generation: u64,
    /// Of the routes.
    pub(crate) version: usize,
    pub(crate) producer_epoch: u32,
    pub(crate) held: BTreeMap<PartitionId, Held>,
    /// Assigned by the group; their committed offsets are being read.
    pub(crate) expected: BTreeSet<PartitionId>,
    pub(crate) custody: Custody,
    pub(crate) running: BTreeMap<u64, Running>,
    pub(crate) runs: u64,
    pub(crate) in_transit: bool,
    pub(crate) poll_cursor: usize,
    pub(crate) idle_polls: u32,
    pub(crate) staged: Vec<Outcome>,
    pub(crate) commit: Option<Commit>,
    pub(crate) aborts_ahead: u32,
    pub(crate) lost_answers_ahead: u32,
    pub(crate) ledger: ledger::View,
    pub(crate) clock: Clock,
    pub(crate) frozen_until: Time,
    pub(crate) shutting_down: bool,
    pub(crate) replace_after: Option<Duration>,
    /// The last partition whose position retention has passed while it was read.
    pub(crate) behind_retention: Option<PartitionId>,
    /// A circuit has been open.
    pub(crate) saw_outage: bool,
    /// Lost partitions of which handlers run: they have to be stopped.
    pub(crate) to_stop: BTreeSet<(PartitionId, Epoch)>,
    /// The last tick, on the engine's clock.
    ticked: Time,
    wake_at: Option<Time>,
    instant: (Time, u32),
}

impl Process {
    pub(crate) fn start(slot: usize, id: u64, world: &mut World) -> Self {
        let member = world.coordinator.join(id);
        let version = world.truth.routings.newest();
        let policies = world.truth.routings.version(version).policies();
        let engine = Engine::new(world.profile.settings.clone(), policies, world.random.next());
        let producer_epoch = world.broker.init_producer(slot);
        let process = Self {
            slot,
            id,
            engine,
            member,
            generation: 0,
            version,
            producer_epoch,
            held: BTreeMap::new(),
            expected: BTreeSet::new(),
            custody: Custody::default(),
            running: BTreeMap::new(),
            runs: 0,
            in_transit: false,
            poll_cursor: 0,
            idle_polls: 0,
            staged: Vec::new(),
            commit: None,
            aborts_ahead: 0,
            lost_answers_ahead: 0,
            ledger: ledger::View::default(),
            clock: Clock::new(&mut world.random),
            frozen_until: Time::default(),
            shutting_down: false,
            replace_after: None,
            behind_retention: None,
            saw_outage: false,
            to_stop: BTreeSet::new(),
            ticked: Time::default(),
            wake_at: None,
            instant: (Time::default(), 0),
        };
        process.later(world, Duration::ZERO, Input::Poll);
        process
    }

    pub(crate) fn holds(&self, partition: PartitionId) -> bool {
        self.held.contains_key(&partition) || self.expected.contains(&partition)
    }

    /// Shut down, with nothing left to do.
    pub(crate) fn is_finished(&self) -> bool {
        self.shutting_down && self.engine.is_drained() && self.commit.is_none()
    }

    /// The records that handlers are running now.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Job<Payload>> {
        self.running.values().filter_map(|run| run.jobs.get(run.at))
    }

    pub(crate) fn later(&self, world: &mut World, delay: Duration, input: Input) {
        let at = world.now + delay;
        world.schedule(at, Event::Process { slot: self.slot, process: self.id, input });
    }

    pub(crate) fn soon(&self, world: &mut World, input: Input) {
        let delay = world.random.millis(0, 5);
        self.later(world, delay, input);
    }

    /// One step of the process: an input, then everything that the engine wants done.
    pub(crate) fn handle(&mut self, input: Input, world: &mut World) -> Checked {
        let now = self.clock.engine(world.now);
        self.instant = if self.instant.0 == now { (now, self.instant.1 + 1) } else { (now, 0) };
        ensure(self.instant.1 < SPIN_LIMIT, "I8", || format!("process {} spins: {input:?}", self.id))?;
        match input {
            Input::Poll => self.poll(world),
            Input::Settle => {}
            Input::Wake => {
                self.wake_at = None;
                self.ticked = now;
                self.engine.tick(now);
            }
            Input::Records(batch) => self.records(world, batch),
            Input::Receipt(receipt) => self.receipt(world, receipt),
            Input::Dedup { partition, epoch, position, window } => {
                let seen = world.broker.identities(partition, position, window);
                self.engine.dedup_rebuilt(now, partition, epoch, &seen);
            }
            Input::JobEnds { run } => self.job_ends(world, run)?,
            Input::Recall { run } => self.recall(run),
            Input::Stop { run } => self.stop(world, run)?,
            Input::SendOffsets(transaction) => self.send_offsets(world, transaction)?,
            Input::EndTransaction(transaction) => self.end_transaction(world, transaction)?,
            Input::Resolve(transaction) => self.resolve(world, transaction),
            Input::Ended { transaction, committed } => self.transaction_ended(world, transaction, committed),
            Input::GiveUp(transaction) => self.give_up(world, transaction)?,
            Input::LedgerIsBack => self.ledger_is_back(world),
            Input::LookAtTheLedger => self.look_at_the_ledger(world),
            Input::Fenced => self.rebuild_producer(world)?,
            Input::Probed(dependency) => {
                let up = !world.services.down.contains(&dependency);
                self.engine.probed(now, &dependency, up);
            }
            Input::Synced(sync) => self.synced(world, sync),
            Input::FetchOffsets(partition) => self.fetch_offsets(world, partition),
            Input::Evicted(member) => self.evicted(world, member),
            Input::Refused { partition, epoch } => self.refused(world, partition, epoch),
            Input::Thaw => self.thaw(world),
            Input::OutOfRange { partition, epoch } => self.out_of_range(world, partition, epoch),
            Input::Reroute(version) => self.reroute(world, version),
            Input::ShutDown => {
                self.shutting_down = true;
                world.coordinator.leaving(self.member);
                self.expected.clear();
                for (partition, held) in &mut self.held {
                    held.revoked_at.get_or_insert(now);
                    self.custody.revoked(*partition);
                }
                self.engine.shut_down(now);
            }
        }
        // The driver may have several inputs in one step before it looks at the effects.
        if world.random.chance(15) {
            self.later(world, Duration::ZERO, Input::Settle);
            return Ok(());
        }
        self.settle(world)
    }

    /// Carries out what the engine wants, then arranges to be woken.
    pub(crate) fn settle(&mut self, world: &mut World) -> Checked {
        // A server that a route does not declare stops nothing.
        self.saw_outage |= self.engine.open_circuits().any(|dependency| &*dependency.0 != SHOP);
        if self.engine.open_circuits().any(|dependency| &*dependency.0 == SHOP) {
            world.sighted("what only some records need was down");
        }
        while let Some(effect) = self.engine.poll_effect() {
            self.carry_out(effect, world)?;
        }
        if let Some(at) = self.engine.next_wake().filter(|at| self.wake_at.is_none_or(|planned| *at < planned)) {
            self.wake_at = Some(at);
            let delay = at - self.clock.engine(world.now);
            self.later(world, delay, Input::Wake);
        }
        self.look_at_windows(world);
        self.check(world)
    }

    fn carry_out(&mut self, effect: Effect<Payload, Report>, world: &mut World) -> Checked {
        world.note(|| format!("p{} effect   {}", self.id, brief(&effect)));
        match effect {
            Effect::Dispatch(jobs) => self.dispatch(world, jobs)?,
            Effect::Recall { partition, epoch } => {
                self.custody.recalled(partition, epoch);
                self.runs_of(partition, epoch).into_iter().for_each(|run| self.soon(world, Input::Recall { run }));
            }
            Effect::Cancel { partition, epoch } => {
                self.custody.cancelled(partition, epoch);
                self.to_stop.remove(&(partition, epoch));
                self.runs_of(partition, epoch).into_iter().for_each(|run| self.soon(world, Input::Stop { run }));
            }
            Effect::Stage(output) => self.stage(world, output)?,
            Effect::Commit { transaction, offsets, lost } => self.begin_commit(world, transaction, offsets, lost)?,
            Effect::Abort { transaction } => self.abort(world, transaction)?,
            Effect::Pause(partition) => self.pause(partition, true),
            Effect::Resume(partition) => self.pause(partition, false),
            Effect::Release(partitions) => self.release(world, &partitions)?,
            Effect::RebuildDedup { partition, epoch, position, window } => {
                let delay = world.random.millis(0, 60);
                self.later(world, delay, Input::Dedup { partition, epoch, position, window });
            }
            Effect::Probe(dependency) => self.soon(world, Input::Probed(dependency)),
            Effect::Escalate(incident) => escalated(world, &incident),
        }
        Ok(())
    }

    fn pause(&mut self, partition: PartitionId, paused: bool) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.paused = paused;
        }
        self.idle_polls = 0;
    }

    fn look_at_windows(&mut self, world: &mut World) {
        for (partition, held) in &mut self.held {
            let full = self.engine.window_is_full(*partition);
            if std::mem::replace(&mut held.window_full, full) != full {
                world.sighted(if full { "a window was full" } else { "a window was full and moved on" });
            }
        }
    }

    /// I5, I7 and the wake-up half of I8, after every step.
    fn check(&self, world: &World) -> Checked {
        self.custody.within(&world.profile.settings, world.profile.poll_batch, LARGEST)?;
        ensure(self.to_stop.is_empty(), "I4", || format!("handlers of {:?} are not stopped", self.to_stop))?;
        let drain_timeout = world.profile.settings.drain_timeout;
        self.custody.handlers_are_told(|partition| {
            let revoked_at = self.held.get(&partition).and_then(|held| held.revoked_at);
            revoked_at.is_some_and(|at| self.ticked >= at + drain_timeout)
        })?;
        let census = self.engine.census();
        ensure(census.adds_up(), "I5", || format!("process {}: {census:?} does not add up", self.id))?;
        let in_flight = self.custody.in_flight() as u64;
        ensure(census.in_flight == in_flight, "I5", || format!("{in_flight} in flight, {census:?}"))?;
        let Some(held) = self.custody.held() else { return Ok(()) };
        let counted = census.waiting + census.in_flight + census.parked + census.staged + census.halted;
        ensure(counted == held as u64, "I5", || format!("process {} holds {held} records, {census:?}", self.id))
    }
}

fn escalated(world: &mut World, incident: &Incident) {
    let name = match incident {
        Incident::Outage { .. } => "escalated outage",
        Incident::EventsLost { .. } => "escalated loss",
        Incident::Halted { .. } => "escalated halt",
        Incident::Crash { .. } => "escalated crash",
    };
    *world.truth.ended.entry(name).or_default() += 1;
}

fn brief(effect: &Effect<Payload, Report>) -> String {
    match effect {
        Effect::Dispatch(jobs) => {
            let at: Vec<_> = jobs.iter().map(|job| (job.ticket.partition.0, job.ticket.offset.0)).collect();
            format!("dispatch {at:?}")
        }
        Effect::Stage(output) => {
            let (ticket, attempt) = (output.ticket, output.attempt);
            format!("stage {}:{} attempt {attempt} {:?}", ticket.partition.0, ticket.offset, output.disposition)
        }
        Effect::Commit { transaction, offsets, .. } => {
            let at: Vec<_> = offsets.iter().map(|commit| (commit.partition.0, commit.position.0)).collect();
            format!("commit {} {at:?}", transaction.0)
        }
        other => format!("{other:?}"),
    }
}
