//! A run: the world, its processes, and the loop that takes them from one event to the next.

use std::time::Duration;

use coafi_core::engine::{PartitionId, RouteId, Time, Verdict};

use crate::checks::{Checked, ensure};
use crate::faults::{self, Fault};
use crate::handlers::{Behaviour, Origin};
use crate::profile::Profile;
use crate::random::Random;
use crate::replica::{Input, Process};
use crate::routing::{Routing, lane_hash};
use crate::world::{Event, Publication, World};

/// When nothing goes wrong any more, everything is resolved within this time (I8).
const PROGRESS_BOUND: Duration = Duration::from_secs(240);

/// Events in one run: more is a loop.
const STEP_LIMIT: u64 = 2_000_000;

const MAX_SLOTS: usize = 6;

#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) world: World,
    /// By slot. A frozen process stays in its slot.
    pub(crate) processes: Vec<Option<Process>>,
    pub(crate) steps: u64,
    next_process: u64,
    calm_since: Option<Time>,
}

impl Simulation {
    /// The world that a seed makes, with everything that will happen in it.
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut profile = Profile::from_seed(&mut random);
        if seed % 4 == 2 {
            profile.add_what_came_later(&mut random);
        }
        let faults = Fault::plan(&profile, &mut random);
        let mut simulation = Self::new(profile, random);
        simulation.world.publish_by_profile();
        faults.into_iter().for_each(|(at, fault)| simulation.world.schedule_fault(at, fault));
        simulation
    }

    pub(crate) fn new(profile: Profile, random: Random) -> Self {
        let replicas = profile.replicas;
        let mut world = World::new(profile, random);
        for slot in 0..replicas {
            let at = Time::default() + world.random.millis(0, 20);
            world.schedule(at, Event::Start { slot });
        }
        world.schedule(Time::default(), Event::Coordinate);
        let processes = (0..replicas).map(|_| None).collect();
        Self { world, processes, steps: 0, next_process: 0, calm_since: None }
    }

    /// Runs to the end: everything published, everything gone wrong and mended, everything resolved, shut down.
    pub(crate) fn run(&mut self) -> Checked {
        while !self.is_over()? {
            self.step()?;
        }
        if !self.world.profile.may_halt() {
            self.world.truth.every_event_ended()?;
        }
        (0..self.processes.len()).for_each(|slot| self.shut_down(slot, None));
        let thawed = self.processes.iter().flatten().map(|process| process.frozen_until).max().unwrap_or_default();
        let bound = self.world.now.max(thawed) + self.world.profile.settings.drain_timeout * 4 + Duration::from_secs(2);
        while self.processes.iter().any(Option::is_some) {
            ensure(self.world.now < bound, "I8", || format!("not shut down by {} ms", bound.0 / 1000))?;
            self.step()?;
        }
        Ok(())
    }

    fn is_over(&mut self) -> Result<bool, crate::checks::Violation> {
        if !self.world.is_calm() {
            self.calm_since = None;
            return Ok(false);
        }
        let since = *self.calm_since.get_or_insert(self.world.now);
        let waited = self.world.now - since;
        // Looking at every partition is not for every step.
        if self.steps.is_multiple_of(16) && self.world.is_settled() {
            return Ok(true);
        }
        if self.world.profile.may_halt() {
            return Ok(waited > Duration::from_secs(20));
        }
        ensure(waited < PROGRESS_BOUND, "I8", || {
            let first: Vec<_> = self.world.truth.unresolved().take(3).map(|(p, offset)| (p.0, offset.0)).collect();
            let lag: Vec<_> = self
                .world
                .broker
                .partitions()
                .map(|partition| {
                    (
                        partition.0,
                        self.world.broker.last_committed(partition).position.0,
                        self.world.broker.stable_end(partition).0,
                    )
                })
                .filter(|(_, position, end)| position < end)
                .collect();
            format!(
                "{PROGRESS_BOUND:?} after the last fault {first:?} are unresolved; (partition, position, end) {lag:?}"
            )
        })?;
        Ok(false)
    }

    pub(crate) fn step(&mut self) -> Checked {
        self.steps += 1;
        ensure(self.steps < STEP_LIMIT, "I8", || format!("{STEP_LIMIT} steps"))?;
        match self.world.pop().expect("the coordinator's next look is always ahead") {
            Event::Publish(publication) => {
                self.world.publish(publication);
            }
            Event::Fault(fault) => {
                self.world.note(|| format!("FAULT     {fault:?}"));
                *self.world.faults.entry(fault.name()).or_default() += 1;
                faults::apply(self, fault);
            }
            Event::Coordinate => self.coordinate(),
            Event::Start { slot } => self.start(slot),
            Event::Fail { slot, process } => {
                if self.processes[slot].as_ref().is_some_and(|running| running.id == process) {
                    let down = self.world.random.millis(10, 500);
                    self.end_uncleanly(slot, down, None);
                }
            }
            Event::Kill { slot, process } => {
                if let Some(dying) = self.processes[slot].as_ref().filter(|running| running.id == process) {
                    let killers = dying.running().filter(|job| matches!(job.payload.behaviour, Behaviour::Kill { .. }));
                    let killer = killers.map(|job| job.payload.origin).next();
                    let down = self.world.random.millis(10, 500);
                    self.end_uncleanly(slot, down, killer);
                }
            }
            Event::Process { slot, process, input } => self.deliver(slot, process, input)?,
        }
        Ok(())
    }

    fn deliver(&mut self, slot: usize, process: u64, input: Input) -> Checked {
        if self.processes.iter().flatten().filter(|process| !process.held.is_empty()).nth(1).is_some() {
            self.world.sighted("several replicas");
        }
        let Some(running) = self.processes[slot].as_mut().filter(|running| running.id == process) else {
            return Ok(());
        };
        if running.frozen_until > self.world.now {
            let at = running.frozen_until;
            self.world.schedule(at, Event::Process { slot, process, input });
            return Ok(());
        }
        running.handle(input, &mut self.world)?;
        if running.is_finished() {
            let held: Vec<_> = running.held.keys().collect();
            ensure(held.is_empty(), "I8", || format!("process {process} says that it is drained, and holds {held:?}"))?;
            self.world.coordinator.remove(running.member);
            if let Some(down) = running.replace_after {
                let at = self.world.now + down;
                self.world.schedule(at, Event::Start { slot });
            }
            self.processes[slot] = None;
        }
        Ok(())
    }

    fn coordinate(&mut self) {
        let world = &mut self.world;
        world.coordinator.expire_sessions(world.now);
        let expired = world.broker.expire_transactions(world.now);
        if expired > 0 {
            world.sighted("a transaction timed out");
            world.note(|| format!("{expired} transactions timed out"));
        }
        if world.coordinator.rebalance_wanted() {
            for sync in world.coordinator.complete_rebalance(&mut world.random) {
                world.note(|| format!("synced    {sync:?}"));
                let slot = self.processes.iter().position(|p| p.as_ref().is_some_and(|p| p.id == sync.process));
                if let Some(slot) = slot {
                    // Until it hears of it, the member's commits carry the old generation.
                    let at = world.now + world.random.millis(0, 60);
                    world.schedule(at, Event::Process { slot, process: sync.process, input: Input::Synced(sync) });
                }
            }
        }
        let at = world.now + world.random.millis(20, 80);
        world.schedule(at, Event::Coordinate);
    }

    fn start(&mut self, slot: usize) {
        if self.processes[slot].is_none() {
            self.next_process += 1;
            self.world.note(|| format!("p{} starts in slot {slot}", self.next_process));
            self.processes[slot] = Some(Process::start(slot, self.next_process, &mut self.world));
        }
    }

    pub(crate) fn with(&mut self, slot: usize, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes[slot].as_mut() {
            change(process);
        }
    }

    /// kill -9: what ran is gone, what it had not committed too. The group learns by the session timeout.
    pub(crate) fn crash(&mut self, slot: usize, down: Duration) {
        self.end_uncleanly(slot, down, None);
    }

    fn end_uncleanly(&mut self, slot: usize, down: Duration, killer: Option<Origin>) {
        let Some(process) = self.processes[slot].take() else { return };
        self.world.note(|| format!("p{} is dead", process.id));
        process.held.keys().for_each(|partition| self.world.truth.owner_died(*partition, killer));
        self.world.coordinator.silent(process.member, self.world.now);
        let at = self.world.now + down;
        self.world.schedule(at, Event::Start { slot });
    }

    pub(crate) fn freeze(&mut self, slot: usize, lasts: Duration) {
        let Some(process) = self.processes[slot].as_mut() else { return };
        process.frozen_until = process.frozen_until.max(self.world.now + lasts);
        self.world.coordinator.silent(process.member, self.world.now);
        let (process, at) = (process.id, process.frozen_until);
        self.world.schedule(at, Event::Process { slot, process, input: Input::Thaw });
    }

    pub(crate) fn evict(&mut self, slot: usize) {
        let Some(process) = self.processes[slot].as_ref() else { return };
        self.world.coordinator.remove(process.member);
        let at = self.world.now + self.world.random.millis(0, 200);
        let event = Event::Process { slot, process: process.id, input: Input::Evicted(process.member) };
        self.world.schedule(at, event);
    }

    /// The clock of a process goes ahead; whatever it waits for is due.
    pub(crate) fn leap(&mut self, slot: usize, by: Duration) {
        let Some(process) = self.processes[slot].as_mut() else { return };
        process.clock.leap(by);
        process.later(&mut self.world, Duration::ZERO, Input::Wake);
    }

    /// Another version of the routes: processes take it one after another, those that start from now on at once.
    pub(crate) fn reroute(&mut self, enables: bool) {
        let World { profile, random, truth, .. } = &mut self.world;
        let version = truth.routings.newest();
        let changed: Routing = truth.routings.version(version).changed(profile, random, enables);
        truth.routings.add(changed);
        for process in self.processes.iter().flatten() {
            let delay = self.world.random.millis(0, 2000);
            process.later(&mut self.world, delay, Input::Reroute(version + 1));
        }
    }

    pub(crate) fn scale_up(&mut self) {
        if self.processes.len() < MAX_SLOTS {
            self.processes.push(None);
            self.start(self.processes.len() - 1);
        }
    }

    pub(crate) fn shut_down(&mut self, slot: usize, replace_after: Option<Duration>) {
        let Some(process) = self.processes[slot].as_mut() else { return };
        process.replace_after = replace_after;
        let (process, now) = (process.id, self.world.now);
        self.world.schedule(now, Event::Process { slot, process, input: Input::ShutDown });
    }

    // What directed scenarios use.

    /// Publishes a record now; its route is the first one.
    pub(crate) fn publish(&mut self, event: u32, key: u64, behaviour: Behaviour) -> Origin {
        let partition = PartitionId((key % u64::from(self.world.profile.sources)) as u32);
        let verdict = Verdict::Routed { route: RouteId(0), lane: lane_hash(key) };
        let record = Publication::Record { partition, event, key, behaviour, verdict, bytes: 100 };
        let offset = self.world.publish(record).expect("a record has an offset");
        Origin { partition, offset }
    }

    pub(crate) fn end_of(&self, record: Origin) -> Option<&'static str> {
        self.world.truth.end_of(record.partition, record.offset)
    }

    pub(crate) fn starts_of(&self, record: Origin) -> u32 {
        self.world.truth.starts(record)
    }

    /// Steps until the condition holds; fails the test when it does not within a virtual minute.
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let bound = self.world.now + Duration::from_secs(60);
        while !condition(self) {
            assert!(self.world.now < bound, "not within a minute: {what}\n{}", self.trace());
            if let Err(violation) = self.step() {
                panic!("{}: {}\n{}", violation.invariant, violation.message, self.trace());
            }
        }
    }

    pub(crate) fn settle(&mut self) {
        self.until("everything is resolved and committed", |simulation| simulation.world.is_settled());
    }

    /// Goes on for so long.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.world.now + time;
        self.until("time passes", |simulation| simulation.world.next_at().is_none_or(|at| at > until));
    }

    pub(crate) fn trace(&self) -> String {
        self.world.trace.lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}
