//! The workers of a process: runs of jobs, one record after another, with results that come late or not at all.

use std::time::Duration;

use coafi_core::engine::offset_map::OffsetMap;
use coafi_core::engine::{Attempt, Class, Epoch, Finished, Job, PartitionId, Rerouted, Ticket};

use crate::checks::{Checked, ensure};
use crate::handlers::{Begin, Behaviour, Payload, Report};
use crate::replica::{Input, Process};
use crate::world::{Event, World, map_identity};

/// A run with a worker.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) jobs: Vec<Job<Payload>>,
    pub(crate) at: usize,
    claim: i64,
    /// Of the routes that it was handed out under.
    version: usize,
    stopped: bool,
}

impl Process {
    pub(crate) fn dispatch(&mut self, world: &mut World, jobs: Vec<Job<Payload>>) -> Checked {
        self.follow_the_routes(world, &jobs)?;
        let routing = world.truth.routings.version(self.version);
        let policy = routing.policy(jobs[0].payload.kind);
        let (now, settings) = (self.clock.engine(world.now), &world.profile.settings);
        let lane_of = |job: &Job<Payload>| routing.lane(&job.payload);
        self.custody.dispatched(now, &jobs, lane_of, settings, policy.concurrency)?;
        let (partition, write_ahead) = (jobs[0].ticket.partition, policy.write_ahead);
        let early = jobs.iter().find(|job| write_ahead && !world.truth.is_receipted(partition, job.ticket.offset));
        ensure(early.is_none(), "I2", || format!("{:?} runs ahead of its receipt", early.map(|job| job.ticket)))?;
        let claim = self.held.get(&partition).map_or(0, |held| held.claim);
        dirty_mark_is_committed(world, partition, claim, self.saw_outage)?;
        if is_announced(world, &jobs[0].ticket) {
            world.sighted("a suspect record ran alone");
        }
        if world.profile.hopeless > 0 {
            jobs.iter().try_for_each(|job| world.truth.stands_still(job.payload.origin))?;
        }
        self.runs += 1;
        let run = self.runs;
        self.running.insert(run, Running { jobs, at: 0, claim, version: self.version, stopped: false });
        self.begin_job(world, run);
        Ok(())
    }

    /// I9: what is handed out is of the routes in force, and handlers that are left out have succeeded.
    fn follow_the_routes(&self, world: &World, jobs: &[Job<Payload>]) -> Checked {
        let routing = world.truth.routings.version(self.version);
        for job in jobs {
            let Payload { kind, version, origin, .. } = job.payload;
            let (at, route) = (job.ticket, routing.route(kind));
            ensure(version == self.version && route == Some(job.route), "I9", || {
                format!(
                    "{at:?} runs under route {:?} of version {version}; its own is {route:?} of {}",
                    job.route, self.version
                )
            })?;
            let succeeded = world.truth.succeeded_of(origin);
            let said = routing.names(kind, job.done);
            ensure(said.is_some_and(|said| said & !succeeded == 0), "I9", || {
                format!("handlers {said:?} of {at:?} are left out, of which {succeeded:b} have succeeded")
            })?;
        }
        Ok(())
    }

    /// Others are in force. Of runs that are out, some find that out before their next record begins.
    pub(crate) fn reroute(&mut self, world: &mut World, version: usize) {
        if version <= self.version {
            return;
        }
        self.version = version;
        if !self.running.is_empty() {
            world.sighted("routes changed while handlers ran");
        }
        let (routing, broker) = (world.truth.routings.version(version), &world.broker);
        self.custody.rerouted(|ticket| {
            let message = broker.message(ticket.partition, ticket.offset).expect("what is out was read");
            (routing.route(message.payload.kind), routing.lane(&message.payload))
        });
        let look = |payload: &Payload| Rerouted {
            verdict: routing.verdict(payload),
            payload: Payload { version, ..*payload },
        };
        self.engine.reroute(self.clock.engine(world.now), routing.policies(), look);
        for running in self.running.values_mut() {
            running.stopped |= world.random.chance(50);
        }
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

    pub(crate) fn job_ends(&mut self, world: &mut World, run: u64) -> Checked {
        let Some(running) = self.running.get_mut(&run) else { return Ok(()) };
        let job = running.jobs[running.at].clone();
        let version = running.version;
        let routing = world.truth.routings.version(version);
        let (verdict, done, written) = world.services.end(&job, routing, running.claim, self.id);
        if let Some(names) = routing.names(job.payload.kind, done) {
            world.truth.succeeded(job.payload.origin, names);
        }
        let goes_on = matches!(verdict, Attempt::Succeeded | Attempt::Filtered) && !running.stopped;
        running.at += 1;
        let more = running.at < running.jobs.len();
        if verdict == Attempt::Fenced {
            let Ticket { partition, epoch, .. } = job.ticket;
            self.soon(world, Input::Refused { partition, epoch });
        }
        self.report(world, &job, verdict, done, Some(Report { version, written }));
        self.settle(world)?;
        if more && goes_on {
            self.begin_job(world, run);
        } else {
            self.rest_not_started(world, run);
        }
        Ok(())
    }

    pub(crate) fn runs_of(&self, partition: PartitionId, epoch: Epoch) -> Vec<u64> {
        let of_epoch = |run: &Running| run.jobs[0].ticket.partition == partition && run.jobs[0].ticket.epoch == epoch;
        self.running.iter().filter(|(_, run)| of_epoch(run)).map(|(id, _)| *id).collect()
    }

    /// What has begun goes on, the rest comes back after it.
    pub(crate) fn recall(&mut self, run: u64) {
        if let Some(running) = self.running.get_mut(&run) {
            running.stopped = true;
        }
    }

    pub(crate) fn stop(&mut self, world: &mut World, run: u64) -> Checked {
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

    fn report(&mut self, world: &mut World, job: &Job<Payload>, verdict: Attempt, done: u16, report: Option<Report>) {
        let ticket = job.ticket;
        world.note(|| format!("p{} finished  {}:{} {verdict:?}", self.id, ticket.partition.0, ticket.offset));
        self.custody.reported(&ticket);
        let now = self.clock.engine(world.now);
        let wait = asked_wait(job, &verdict);
        if !wait.is_zero() {
            self.custody.asked(&ticket, job.attempt, now + wait);
            world.sighted("a handler said when to try again");
        }
        self.engine.finished(now, Finished { ticket, verdict, done, took: Duration::ZERO, wait, report });
    }
}

/// What a handler that fails asks for, with some records: the record alone decides it. What is away asks for nothing.
fn asked_wait(job: &Job<Payload>, verdict: &Attempt) -> Duration {
    let transient = matches!(verdict, Attempt::Failed { class: Class::Transient, .. });
    let asks = transient && job.ticket.offset.0 % 3 == 0 && job.payload.behaviour != Behaviour::SameError;
    Duration::from_millis(if asks { 700 } else { 0 })
}

/// Whether the committed metadata names this record as the one that is about to run.
fn is_announced(world: &World, ticket: &Ticket) -> bool {
    let committed = world.broker.last_committed(ticket.partition);
    let map = OffsetMap::decode(&committed.metadata, map_identity(ticket.partition), committed.position);
    map.is_some_and(|map| map.running == Some(ticket.offset))
}

/// A process that dies from now on is counted: the mark of this assignment is committed before its first dispatch. While
/// a circuit is open the mark says clean.
fn dirty_mark_is_committed(world: &World, partition: PartitionId, claim: i64, saw_outage: bool) -> Checked {
    let committed = world.broker.last_committed(partition);
    let map = OffsetMap::decode(&committed.metadata, map_identity(partition), committed.position).unwrap_or_default();
    // A zombie finds the claim of its successor, and a stranger's commit takes the mark away: also that of a zombie whose
    // successor has begun from there and not yet committed.
    let erased = committed.by_a_stranger || committed.erased && world.services.is_claimed_since(partition, claim);
    let marked = erased || map.claim > claim || (map.claim == claim && (map.dirty > 0 || saw_outage));
    ensure(marked, "crash", || format!("partition {} dispatches before its dirty mark is committed", partition.0))
}
