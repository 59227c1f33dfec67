//! One process: the engine, and the driver's duties towards it and towards Kafka. What the real driver in `src/kafka` does
//! on threads happens here as events on the world's queue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coafi::engine::offset_map::OffsetMap;
use coafi::engine::{
    Arrival, Assignment, Attempt, Dependency, Effect, Engine, Epoch, Finished, Incident, Job, PartitionId, Time,
    TransactionId,
};
use coafi::event::{NextOffset, Offset};

use crate::broker::{Message, Outcome};
use crate::checks::{Checked, ensure};
use crate::commit::Commit;
use crate::coordinator::{MemberId, Sync};
use crate::custody::Custody;
use crate::handlers::{Begin, Payload, Report};
use crate::world::{Event, LARGEST, World, map_identity};

/// Inputs in one instant after which the engine is taken to spin.
const SPIN_LIMIT: u32 = 2000;

#[derive(Debug)]
pub(crate) enum Input {
    Poll,
    Wake,
    /// Effects of earlier inputs of the same step.
    Settle,
    /// What was polled reaches the engine; meanwhile the partition may be gone.
    Records {
        partition: PartitionId,
        epoch: Epoch,
        from: NextOffset,
        batch: Vec<(Offset, Message)>,
        to: NextOffset,
        at_end: bool,
    },
    Receipt {
        partition: PartitionId,
        epoch: Epoch,
        from: NextOffset,
        to: NextOffset,
    },
    Dedup {
        partition: PartitionId,
        epoch: Epoch,
        position: NextOffset,
        window: u32,
    },
    JobEnds {
        run: u64,
    },
    Stop {
        run: u64,
    },
    SendOffsets(TransactionId),
    EndTransaction(TransactionId),
    Resolve(TransactionId),
    Ended {
        transaction: TransactionId,
        committed: bool,
    },
    Fenced,
    Probed(Dependency),
    Synced(Sync),
    FetchOffsets(PartitionId),
    /// The group says that this member is not one.
    Evicted(MemberId),
    Thaw,
    ShutDown,
}

/// A partition that the engine was given.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) epoch: Epoch,
    claim: i64,
    fetch: NextOffset,
    reported_end: Option<NextOffset>,
    paused: bool,
    pub(crate) revoked_at: Option<Time>,
    receipts_at: Time,
}

/// A run with a worker.
#[derive(Debug)]
struct Running {
    jobs: Vec<Job<Payload>>,
    at: usize,
    claim: i64,
    stopped: bool,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) slot: usize,
    pub(crate) id: u64,
    pub(crate) engine: Engine<Payload, Report>,
    pub(crate) member: MemberId,
    pub(crate) generation: u64,
    pub(crate) producer_epoch: u32,
    pub(crate) held: BTreeMap<PartitionId, Held>,
    /// Assigned by the group; their committed offsets are being read.
    pub(crate) expected: BTreeSet<PartitionId>,
    pub(crate) custody: Custody,
    running: BTreeMap<u64, Running>,
    runs: u64,
    in_transit: bool,
    poll_cursor: usize,
    idle_polls: u32,
    pub(crate) staged: Vec<Outcome>,
    pub(crate) commit: Option<Commit>,
    pub(crate) aborts_ahead: u32,
    pub(crate) lost_answers_ahead: u32,
    pub(crate) frozen_until: Time,
    shutting_down: bool,
    pub(crate) replace_after: Option<Duration>,
    wake_at: Option<Time>,
    instant: (Time, u32),
}

impl Process {
    pub(crate) fn start(slot: usize, id: u64, world: &mut World) -> Self {
        let member = world.coordinator.join(id);
        let engine = Engine::new(world.profile.settings.clone(), world.profile.routes.clone(), world.random.next());
        let producer_epoch = world.broker.init_producer(slot);
        let process = Self {
            slot,
            id,
            engine,
            member,
            generation: 0,
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
            frozen_until: Time::default(),
            shutting_down: false,
            replace_after: None,
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

    fn soon(&self, world: &mut World, input: Input) {
        let delay = world.random.millis(0, 5);
        self.later(world, delay, input);
    }

    /// One step of the process: an input, then everything that the engine wants done.
    pub(crate) fn handle(&mut self, input: Input, world: &mut World) -> Checked {
        let now = world.now;
        self.instant = if self.instant.0 == now { (now, self.instant.1 + 1) } else { (now, 0) };
        ensure(self.instant.1 < SPIN_LIMIT, "I8", || format!("process {} spins: {input:?}", self.id))?;
        match input {
            Input::Poll => self.poll(world),
            Input::Settle => {}
            Input::Wake => {
                self.wake_at = None;
                self.engine.tick(now);
            }
            Input::Records { partition, epoch, from, batch, to, at_end } => {
                self.in_transit = false;
                self.records(world, partition, epoch, batch, (from, to), at_end);
            }
            Input::Receipt { partition, epoch, from, to } => {
                world.truth.receipted(partition, from, to);
                self.engine.receipts_acknowledged(now, partition, epoch, to);
            }
            Input::Dedup { partition, epoch, position, window } => {
                let seen = world.broker.identities(partition, position, window);
                self.engine.dedup_rebuilt(now, partition, epoch, &seen);
            }
            Input::JobEnds { run } => self.job_ends(world, run)?,
            Input::Stop { run } => self.stop(world, run)?,
            Input::SendOffsets(transaction) => self.send_offsets(world, transaction)?,
            Input::EndTransaction(transaction) => self.end_transaction(world, transaction)?,
            Input::Resolve(transaction) => self.resolve(world, transaction),
            Input::Ended { transaction, committed } => self.transaction_ended(world, transaction, committed),
            Input::Fenced => self.rebuild_producer(world)?,
            Input::Probed(dependency) => {
                let up = !world.services.down.contains(&dependency);
                self.engine.probed(now, &dependency, up);
            }
            Input::Synced(sync) => self.synced(world, sync),
            Input::FetchOffsets(partition) => self.fetch_offsets(world, partition),
            Input::Evicted(member) => self.evicted(world, member),
            Input::Thaw => {
                if !world.coordinator.heartbeat(self.member) {
                    self.soon(world, Input::Evicted(self.member));
                }
            }
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
        while let Some(effect) = self.engine.poll_effect() {
            self.carry_out(effect, world)?;
        }
        if let Some(at) = self.engine.next_wake().filter(|at| self.wake_at.is_none_or(|planned| *at < planned)) {
            let at = at.max(world.now);
            self.wake_at = Some(at);
            self.later(world, at - world.now, Input::Wake);
        }
        self.check(world)
    }

    fn carry_out(&mut self, effect: Effect<Payload, Report>, world: &mut World) -> Checked {
        world.note(|| format!("p{} effect   {}", self.id, brief(&effect)));
        match effect {
            Effect::Dispatch(jobs) => self.dispatch(world, jobs)?,
            Effect::Cancel { partition, epoch } => {
                let of_epoch =
                    |run: &Running| run.jobs[0].ticket.partition == partition && run.jobs[0].ticket.epoch == epoch;
                let runs: Vec<u64> = self.running.iter().filter(|(_, run)| of_epoch(run)).map(|(id, _)| *id).collect();
                runs.into_iter().for_each(|run| self.soon(world, Input::Stop { run }));
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

    /// The poll loop: one partition at a time in turn, nothing while the engine has no room.
    fn poll(&mut self, world: &mut World) {
        self.idle_polls += 1;
        if !self.in_transit && self.engine.has_room() && !self.shutting_down {
            let count = self.held.len();
            for step in 0..count {
                let index = (self.poll_cursor + step) % count;
                let limit = world.random.between(1, world.profile.poll_batch as u64) as usize;
                if self.poll_partition(world, index, limit) {
                    self.poll_cursor = index + 1;
                    self.idle_polls = 0;
                    break;
                }
            }
        }
        let delay = world.random.millis(1, 3) * (1 << self.idle_polls.min(6));
        self.later(world, delay, Input::Poll);
    }

    fn poll_partition(&mut self, world: &mut World, index: usize, limit: usize) -> bool {
        let (partition, held) = self.held.iter_mut().nth(index).expect("below the count");
        if held.paused || held.revoked_at.is_some() {
            return false;
        }
        let from = held.fetch;
        let fetched = world.broker.fetch(*partition, from, limit);
        let news = fetched.next > from || (fetched.at_end && held.reported_end != Some(fetched.next));
        if !news {
            return false;
        }
        held.fetch = fetched.next;
        held.reported_end = fetched.at_end.then_some(fetched.next);
        let (partition, epoch, to, at_end) = (*partition, held.epoch, fetched.next, fetched.at_end);
        self.in_transit = true;
        let delay = world.random.millis(0, 2);
        self.later(world, delay, Input::Records { partition, epoch, from, batch: fetched.messages, to, at_end });
        true
    }

    fn records(
        &mut self,
        world: &mut World,
        partition: PartitionId,
        epoch: Epoch,
        batch: Vec<(Offset, Message)>,
        (from, to): (NextOffset, NextOffset),
        at_end: bool,
    ) {
        world.note(|| {
            let offsets: Vec<i64> = batch.iter().map(|(offset, _)| offset.0).collect();
            format!("p{} polled    {}:{offsets:?} end {at_end} epoch {}", self.id, partition.0, epoch.0)
        });
        if !batch.is_empty() {
            for (offset, message) in &batch {
                self.custody.delivered(partition, epoch, *offset, message.bytes);
            }
            self.engine.records(world.now, partition, epoch, batch.into_iter().map(arrival).collect());
            self.send_receipt(world, partition, epoch, from, to);
        }
        if at_end {
            self.engine.reached_end(world.now, partition, epoch, to);
        }
    }

    /// Receipts of one partition are acknowledged in order.
    fn send_receipt(
        &mut self,
        world: &mut World,
        partition: PartitionId,
        epoch: Epoch,
        from: NextOffset,
        to: NextOffset,
    ) {
        let mut at = world.now + world.random.millis(0, 8) + world.receipt_delay;
        if let Some(held) = self.held.get_mut(&partition).filter(|held| held.epoch == epoch) {
            at = at.max(held.receipts_at);
            held.receipts_at = at;
        }
        self.later(world, at - world.now, Input::Receipt { partition, epoch, from, to });
    }

    fn dispatch(&mut self, world: &mut World, jobs: Vec<Job<Payload>>) -> Checked {
        let lane_of = |job: &Job<Payload>| {
            world.broker.message(job.ticket.partition, job.ticket.offset).and_then(|message| world.truth.lane(message))
        };
        self.custody.dispatched(&jobs, lane_of, &world.profile.settings, &world.profile.routes)?;
        let claim = self.held.get(&jobs[0].ticket.partition).map_or(0, |held| held.claim);
        self.runs += 1;
        let run = self.runs;
        self.running.insert(run, Running { jobs, at: 0, claim, stopped: false });
        self.begin_job(world, run);
        Ok(())
    }

    fn begin_job(&mut self, world: &mut World, run: u64) {
        let running = &self.running[&run];
        let job = &running.jobs[running.at];
        world.truth.started(job.payload.origin);
        self.custody.started(&job.ticket);
        world.note(|| {
            let (partition, offset) = (job.ticket.partition.0, job.ticket.offset);
            format!("p{} starts    {partition}:{offset} attempt {} {:?}", self.id, job.attempt, job.payload.behaviour)
        });
        match world.services.begin(job, &mut world.random) {
            Begin::Run(latency) => self.later(world, latency, Input::JobEnds { run }),
            Begin::Kill(latency) => {
                let at = world.now + latency;
                world.schedule(at, Event::Kill { slot: self.slot, process: self.id });
            }
        }
    }

    fn job_ends(&mut self, world: &mut World, run: u64) -> Checked {
        let Some(running) = self.running.get_mut(&run) else { return Ok(()) };
        let job = running.jobs[running.at].clone();
        let policy = &world.profile.routes[job.route.0 as usize];
        let (verdict, done, report) = world.services.end(&job, policy, running.claim, self.id);
        let goes_on = matches!(verdict, Attempt::Succeeded | Attempt::Filtered) && !running.stopped;
        running.at += 1;
        let more = running.at < running.jobs.len();
        self.report(world, &job, verdict, done, report);
        self.settle(world)?;
        if more && goes_on {
            self.begin_job(world, run);
        } else {
            self.rest_not_started(world, run);
        }
        Ok(())
    }

    fn stop(&mut self, world: &mut World, run: u64) -> Checked {
        let Some(running) = self.running.get_mut(&run) else { return Ok(()) };
        if world.random.chance(30) {
            // It does not react before the record is done.
            running.stopped = true;
            return Ok(());
        }
        let job = running.jobs[running.at].clone();
        running.at += 1;
        self.report(world, &job, Attempt::Cancelled, job.done, None);
        self.rest_not_started(world, run);
        Ok(())
    }

    fn rest_not_started(&mut self, world: &mut World, run: u64) {
        let Some(running) = self.running.remove(&run) else { return };
        for job in &running.jobs[running.at..] {
            self.report(world, job, Attempt::NotStarted, job.done, None);
        }
    }

    fn report(&mut self, world: &mut World, job: &Job<Payload>, verdict: Attempt, done: u32, report: Option<Report>) {
        let ticket = job.ticket;
        world.note(|| format!("p{} finished  {}:{} {verdict:?}", self.id, ticket.partition.0, ticket.offset));
        self.custody.reported(&ticket);
        self.engine.finished(world.now, Finished { ticket, verdict, done, report });
    }

    fn synced(&mut self, world: &mut World, sync: Sync) {
        if sync.member != self.member {
            return;
        }
        world.coordinator.heard(self.member, sync.generation);
        self.generation = sync.generation;
        let mut revoke = Vec::new();
        for partition in sync.revoke {
            self.expected.remove(&partition);
            match self.held.get_mut(&partition) {
                Some(held) => {
                    held.revoked_at.get_or_insert(world.now);
                    self.custody.revoked(partition);
                    revoke.push(partition);
                }
                None => world.coordinator.released(self.member, partition),
            }
        }
        if !revoke.is_empty() {
            self.engine.revoked(world.now, &revoke);
        }
        if !self.shutting_down {
            for partition in sync.assign {
                self.expected.insert(partition);
                self.soon(world, Input::FetchOffsets(partition));
            }
        }
    }

    fn fetch_offsets(&mut self, world: &mut World, partition: PartitionId) {
        if !self.expected.contains(&partition) {
            return;
        }
        let Ok(committed) = world.broker.committed(partition) else {
            let delay = world.random.millis(20, 100);
            return self.later(world, delay, Input::FetchOffsets(partition));
        };
        self.expected.remove(&partition);
        let claim = world.services.claim(partition);
        let assignment = Assignment {
            partition,
            position: committed.position,
            metadata: &committed.metadata,
            identity: map_identity(partition),
            claim: Some(claim),
            log_start: world.broker.log_start(partition),
            continue_after_loss: world.profile.continue_after_loss,
        };
        let epoch = self.engine.assigned(world.now, &assignment);
        world.note(|| format!("p{} assigned  {} at {} epoch {}", self.id, partition.0, committed.position, epoch.0));
        let map = OffsetMap::decode(&committed.metadata, map_identity(partition), committed.position);
        let map = map.unwrap_or_default();
        if let Some(named) = map.running.filter(|_| map.dirty > 0) {
            world.truth.named_by_a_death(partition, named);
        }
        self.custody.assigned(partition, epoch, map.resolved);
        let held = Held {
            epoch,
            claim,
            fetch: committed.position,
            reported_end: None,
            paused: false,
            revoked_at: None,
            receipts_at: world.now,
        };
        self.held.insert(partition, held);
    }

    fn evicted(&mut self, world: &mut World, member: MemberId) {
        if member != self.member {
            return;
        }
        self.expected.clear();
        self.lose_everything(world);
        self.generation = 0;
        if !self.shutting_down {
            self.member = world.coordinator.join(self.id);
        }
    }

    /// Every partition is gone already.
    pub(crate) fn lose_everything(&mut self, world: &mut World) {
        let partitions: Vec<_> = std::mem::take(&mut self.held).into_keys().collect();
        for partition in &partitions {
            world.truth.owner_died(*partition, None);
            self.custody.dropped(*partition);
        }
        self.engine.lost(world.now, &partitions);
    }

    /// I4: what is given up has nothing running and nothing half-committed, unless it took too long.
    fn release(&mut self, world: &mut World, partitions: &[PartitionId]) -> Checked {
        for partition in partitions {
            let held = self.held.remove(partition);
            let Some(revoked_at) = held.as_ref().and_then(|held| held.revoked_at) else {
                return ensure(false, "I4", || format!("partition {} is released; it was not revoked", partition.0));
            };
            let in_time = world.now - revoked_at <= world.profile.settings.drain_timeout;
            ensure(!in_time || !self.custody.runs_anything_of(*partition), "I4", || {
                format!("partition {} is released while a handler runs", partition.0)
            })?;
            let half_committed = in_time && self.staged.iter().any(|output| output.ticket.partition == *partition);
            ensure(!half_committed, "I4", || format!("partition {} is released before its commit", partition.0))?;
            self.custody.dropped(*partition);
            world.coordinator.released(self.member, *partition);
        }
        Ok(())
    }

    /// I5, I7 and the wake-up half of I8, after every step.
    fn check(&self, world: &World) -> Checked {
        self.custody.within(&world.profile.settings, world.profile.poll_batch, LARGEST)?;
        let census = self.engine.census();
        ensure(census.adds_up(), "I5", || format!("process {}: {census:?} does not add up", self.id))?;
        let in_flight = self.custody.in_flight() as u64;
        ensure(census.in_flight == in_flight, "I5", || format!("{in_flight} in flight, {census:?}"))?;
        let Some(held) = self.custody.held() else { return Ok(()) };
        let counted = census.waiting + census.in_flight + census.parked + census.staged + census.halted;
        ensure(counted == held as u64, "I5", || format!("process {} holds {held} records, {census:?}", self.id))
    }
}

fn arrival((offset, message): (Offset, Message)) -> Arrival<Payload> {
    Arrival {
        offset,
        bytes: message.bytes,
        verdict: message.verdict,
        identity: message.identity,
        attempts: message.attempts,
        done: message.done,
        not_before: message.not_before,
        payload: message.payload,
    }
}

fn escalated(world: &mut World, incident: &Incident) {
    let name = match incident {
        Incident::Outage { .. } => "escalated outage",
        Incident::EventsLost { .. } | Incident::Halted { .. } | Incident::Crash { .. } => return,
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
