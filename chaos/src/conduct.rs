//! Carries a plan out: what is done to the servers, to the network and to the replicas, one fault after another, and what an
//! operator does at the end.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::fleet::Fleet;
use crate::plan::{Fault, Kind};
use crate::producer::Producer;
use crate::progress::Progress;
use crate::reading::stored;
use crate::reconcile::Sent;
use crate::run::MAX_REPLICAS;
use crate::servers::Servers;
use crate::world::{PARTITIONS, World};

/// At least two replicas are left when one is stopped.
const MIN_REPLICAS: usize = 2;
/// What a slow network adds to each piece.
const DELAY: Duration = Duration::from_millis(150);
/// Between two looks at the replicas while nothing is done to them.
const LOOK: Duration = Duration::from_millis(100);
/// How long a replica lives in a deploy loop: its partitions come to it, and it meets the outage.
const SHORT_LIFE: Duration = Duration::from_secs(8);
/// Until a record that kills its process is given up: six deaths, each after a session and a start.
const CRASH_LIMIT: Duration = Duration::from_secs(240);
/// At the end: when nothing has got on for this long, only keys that have halted are left.
const STANDSTILL: Duration = Duration::from_secs(15);
/// ... and when nothing has got on for this long, what is left is not going to.
const DRAIN_SILENCE: Duration = Duration::from_secs(60);

/// What it takes to carry out a plan.
pub struct Conduct<'w> {
    pub servers: Servers,
    pub fleet: Fleet,
    /// What the product refused that it should have done.
    pub refusals: Vec<String>,
    pub begin: Instant,
    /// The one that replicas are, and the one that they change to next; a single one if there is no other.
    pub releases: VecDeque<PathBuf>,
    /// Says what happens, on standard error.
    pub verbose: bool,
    world: &'w World,
    producer: Producer,
    progress: Arc<Progress>,
    /// Of the source topic.
    partitions: i32,
}

impl<'w> Conduct<'w> {
    /// Time begins now.
    #[must_use]
    pub fn new(servers: Servers, fleet: Fleet, world: &'w World, producer: Producer, progress: Arc<Progress>) -> Self {
        Self {
            servers,
            fleet,
            refusals: Vec::new(),
            begin: Instant::now(),
            releases: VecDeque::new(),
            verbose: false,
            world,
            producer,
            progress,
            partitions: PARTITIONS,
        }
    }

    /// Every fault of the plan, with its beginning and end; then waits until the time is over.
    ///
    /// # Errors
    /// A server or a replica cannot be handled.
    pub fn carry_out(&mut self, plan: Vec<Fault>, length: Duration) -> Result<Vec<(Kind, Instant, Instant)>> {
        let end = self.begin + length;
        let mut happened = Vec::new();
        for fault in plan {
            self.wait(fault.pause)?;
            if Instant::now() >= end {
                break;
            }
            self.say(&format!("{} for {} ms", fault.kind.name(), fault.lasts.as_millis()));
            let began = Instant::now();
            self.inflict(&fault).with_context(|| format!("{:?}", fault.kind))?;
            happened.push((fault.kind, began, Instant::now()));
        }
        self.wait(end.saturating_duration_since(Instant::now()))?;
        Ok(happened)
    }

    /// Ends the producer, waits for what is left, releases what has halted, and stops the replicas; what was sent.
    ///
    /// # Errors
    /// Brokers did not take all events, or a replica cannot be handled.
    pub fn finish(&mut self) -> Result<Vec<Sent>> {
        let sent = self.producer.finish()?;
        self.drain()?;
        self.say(&format!("{} events sent; stopping", sent.len()));
        self.fleet.stop()?;
        Ok(sent)
    }

    fn inflict(&mut self, fault: &Fault) -> Result<()> {
        let slot = self.fleet.slot(fault.nth);
        match fault.kind {
            Kind::Kill => {
                self.fleet.kill(slot)?;
                self.wait(fault.lasts)?;
                self.fleet.start_at(slot)
            }
            Kind::Terminate => {
                self.fleet.terminate(slot)?;
                self.wait(fault.lasts)?;
                self.fleet.start_at(slot)
            }
            Kind::Freeze => {
                self.fleet.freeze(slot)?;
                self.wait(fault.lasts)?;
                self.fleet.thaw(slot)
            }
            Kind::Start => self.fleet.start().map(drop),
            Kind::Stop if self.fleet.len() > MIN_REPLICAS => self.fleet.terminate(slot),
            Kind::Stop => self.fleet.start().map(drop),
            Kind::Roll => self.roll(&self.fleet.slots()),
            Kind::Upgrade => self.change_release(fault.lasts),
            Kind::Cut | Kind::Delay | Kind::Reset => self.network(fault, slot),
            Kind::DatabaseOutage => {
                self.servers.postgres.kill()?;
                self.wait(fault.lasts)?;
                self.servers.postgres.restart()
            }
            Kind::RegistryOutage => {
                self.servers.registry.kill()?;
                self.wait(fault.lasts)?;
                self.servers.registry.restart()
            }
            Kind::Grow => self.grow(),
            Kind::Crash => self.crash(),
            Kind::DeployLoop => self.deploy_loop(fault.lasts),
            Kind::BrokerRestart | Kind::BrokerKill | Kind::BrokerFreeze | Kind::LeaderChange | Kind::MinIsrLoss => {
                self.brokers(fault)
            }
        }
    }

    fn brokers(&mut self, fault: &Fault) -> Result<()> {
        match fault.kind {
            Kind::BrokerRestart => {
                let broker = self.servers.kafka.nth(fault.nth);
                broker.stop()?;
                broker.restart()
            }
            Kind::BrokerFreeze => {
                self.servers.kafka.nth(fault.nth).pause()?;
                self.wait(fault.lasts)?;
                self.servers.kafka.nth(fault.nth).resume()
            }
            Kind::MinIsrLoss => {
                let others = 1..self.servers.kafka.all().len();
                for other in others.clone() {
                    self.servers.kafka.nth(fault.nth + other).kill()?;
                }
                self.wait(fault.lasts)?;
                for other in others {
                    self.servers.kafka.nth(fault.nth + other).restart()?;
                }
                Ok(())
            }
            _ => {
                self.servers.kafka.nth(fault.nth).kill()?;
                self.wait(fault.lasts)?;
                self.servers.kafka.nth(fault.nth).restart()
            }
        }
    }

    /// Between one replica and all brokers.
    fn network(&mut self, fault: &Fault, slot: usize) -> Result<()> {
        for proxy in &self.servers.proxies[slot] {
            match fault.kind {
                Kind::Cut => proxy.cut(),
                Kind::Delay => proxy.slow(DELAY),
                _ => proxy.reset(),
            }
        }
        self.wait(fault.lasts)?;
        if fault.kind != Kind::Reset {
            self.servers.proxies[slot].iter().for_each(|proxy| proxy.mend());
        }
        Ok(())
    }

    /// Half of the replicas become the other release, share the group with the rest for a while, and then all are. The first
    /// time is an upgrade, the next a rollback. Before an upgrade topics and schemas are brought up to date, as an operator does;
    /// before a rollback they stay as they are, for an older release would refuse what is newer.
    fn change_release(&mut self, half_way: Duration) -> Result<()> {
        self.releases.rotate_left(1);
        let release = self.releases.front().context("a release")?.clone();
        let began_with = &self.world.binary;
        if release != *began_with {
            self.fleet.prepare_for(&release)?;
        }
        (0..MAX_REPLICAS).for_each(|slot| self.fleet.set_binary(slot, &release));
        let slots = self.fleet.slots();
        let (first, rest) = slots.split_at(slots.len().div_ceil(2));
        self.roll(first)?;
        self.wait(half_way)?;
        self.roll(rest)
    }

    fn roll(&mut self, slots: &[usize]) -> Result<()> {
        for &slot in slots {
            self.fleet.terminate(slot)?;
            self.fleet.start_at(slot)?;
        }
        Ok(())
    }

    /// As an operator does it: the publisher stops, the command waits until all is handled, the publisher goes on.
    fn grow(&mut self) -> Result<()> {
        self.producer.pause()?;
        // A key that has halted is handled once somebody has acted.
        let released = self.drain()?;
        match self.world.grow(self.partitions) {
            Ok(more) => {
                self.say(&format!("from {} to {more} partitions", self.partitions));
                self.partitions = more;
            }
            Err(error) => self.refusals.push(format!("the topic did not grow: {error:#}")),
        }
        if released {
            self.roll(&self.fleet.slots())?;
        }
        self.progress.resumed();
        self.producer.resume()
    }

    /// An event that kills every process that handles it; they are started again, until it is given up.
    fn crash(&mut self) -> Result<()> {
        let (before, deaths) = (self.progress.crashed(), self.fleet.killed_by_events);
        self.producer.send_killer()?;
        let limit = Instant::now() + CRASH_LIMIT;
        while self.progress.crashed() == before && Instant::now() < limit {
            self.wait(LOOK)?;
        }
        self.say(&format!("{} processes died of it", self.fleet.killed_by_events - deaths));
        Ok(())
    }

    /// The database is away, and whoever deploys kills all replicas again and again because of it.
    fn deploy_loop(&mut self, lasts: Duration) -> Result<()> {
        let until = Instant::now() + lasts;
        self.servers.postgres.kill()?;
        while Instant::now() < until {
            self.wait(SHORT_LIFE)?;
            for slot in self.fleet.slots() {
                self.fleet.kill(slot)?;
                self.fleet.start_at(slot)?;
            }
        }
        self.servers.postgres.restart()
    }

    /// What an operator does about keys that have halted: makes room, and starts the replicas again. Whether there were any.
    fn release(&mut self) -> Result<bool> {
        let halted = self.progress.halted();
        if halted > 0 {
            self.say(&format!("{halted} keys have halted: making room"));
            self.fleet.make_room(true);
            self.roll(&self.fleet.slots())?;
            self.fleet.make_room(false);
        }
        Ok(halted > 0)
    }

    /// Until every record has come to its end, or nothing has got on for long. Whether keys that had halted were released.
    fn drain(&mut self) -> Result<bool> {
        // Not what was acknowledged: a producer may have written more.
        let stored = stored(&self.world.kafka)?;
        let (mut left, mut since, mut released) = (self.progress.left(), Instant::now(), false);
        while !self.progress.is_complete(stored) && since.elapsed() < DRAIN_SILENCE {
            self.wait(LOOK)?;
            if self.progress.left() > left {
                (left, since) = (self.progress.left(), Instant::now());
            } else if since.elapsed() > STANDSTILL && !released {
                released = self.release()?;
                since = if released { Instant::now() } else { since };
            }
        }
        Ok(released)
    }

    /// Lets time pass, which is what a schedule is, and looks after the replicas meanwhile.
    fn wait(&mut self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        loop {
            self.fleet.look_after()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }

    fn say(&self, what: &str) {
        if self.verbose {
            eprintln!("{:>7.1} s  {what}", self.begin.elapsed().as_secs_f64());
        }
    }
}
