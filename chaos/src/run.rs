//! A run: the stack, the replicas, the producer, the faults one after another, the end, the judgement.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::fleet::Fleet;
use crate::plan::{self, Fault, Kind};
use crate::positions::Positions;
use crate::producer::Producer;
use crate::progress::Progress;
use crate::reading;
use crate::reconcile::reconcile;
use crate::servers::Servers;
use crate::summary::{Happened, Summary};
use crate::wire::Schemas;
use crate::world::{AUDIT_TOPIC, Delivery, OUTCOME_RECORD, RECEIPT_RECORD, STEP_RECORD, TOPIC, World};

/// Replicas of a run at most; at least two are left when one is stopped.
pub const MAX_REPLICAS: usize = 5;
const MIN_REPLICAS: usize = 2;
/// What a slow network adds to each piece.
const DELAY: Duration = Duration::from_millis(150);
/// What Kafka's coordinator says when it gives up the markers of a transaction.
const DROPPED_MARKERS: &str = "likely deleted already and hence can be skipped";
/// Between two looks at the replicas while nothing is done to them.
const LOOK: Duration = Duration::from_millis(100);
/// At the end: when nothing has got on for this long, what is left is not going to.
const DRAIN_SILENCE: Duration = Duration::from_secs(60);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `coafi` that is tested.
    pub binary: PathBuf,
    /// The release before, if upgrades are tested: the replicas begin as this one.
    pub previous: Option<PathBuf>,
    /// Where logs and configuration go.
    pub directory: PathBuf,
    pub seed: u64,
    pub length: Duration,
    pub delivery: Delivery,
    /// At the beginning.
    pub replicas: usize,
    pub events_per_second: u64,
    pub kinds: Vec<Kind>,
    /// Further variables of the product's environment.
    pub settings: Vec<(String, String)>,
    /// Says what happens, on standard error.
    pub verbose: bool,
}

/// Runs it.
///
/// # Errors
/// Something that is not part of what is tested does not work; never a harm.
pub fn run(options: &Options) -> Result<Summary> {
    let servers = Servers::start(MAX_REPLICAS)?;
    let world = World {
        binary: options.previous.as_ref().unwrap_or(&options.binary).clone(),
        directory: options.directory.clone(),
        kafka: servers.kafka.bootstrap_servers(),
        registry: servers.registry.url(),
        postgres: servers.postgres.url(),
        delivery: options.delivery,
        settings: options.settings.clone(),
    };
    world.lay_out()?;
    let mut schemas = Schemas::new(&world.registry);
    let step = schemas.latest(TOPIC, STEP_RECORD)?;
    for record in [OUTCOME_RECORD, RECEIPT_RECORD] {
        schemas.latest(AUDIT_TOPIC, record)?;
    }
    let fleet = Fleet::new(world.clone(), &servers, MAX_REPLICAS);
    let releases = options.previous.iter().chain([&options.binary]).cloned().collect();
    let mut conduct = Conduct { servers, fleet, releases, verbose: options.verbose, begin: Instant::now() };
    for _ in 0..options.replicas {
        conduct.fleet.start()?;
    }
    let progress = Arc::new(Progress::start(&world.kafka, schemas.clone())?);
    let positions = Positions::start(&world.kafka, Arc::clone(&progress));
    let producer = Producer::start(&world.kafka, options.seed, options.events_per_second, schemas.clone(), step)?;
    conduct.begin = Instant::now();
    let faults = conduct.carry_out(options)?;
    let produced = Instant::now();
    let sent = producer.finish()?;
    conduct.drain(&progress, sent.len())?;
    let drained = progress.last().map_or(Duration::ZERO, |last| last.saturating_duration_since(produced));
    conduct.say(&format!("{} events sent; stopping", sent.len()));
    conduct.fleet.stop()?;

    let snapshots = positions.finish();
    let mut evidence = reading::gather(&world, &mut schemas, sent)?;
    (evidence.left, evidence.snapshots) = (progress.order(), snapshots);
    let looks = evidence.snapshots.len();
    let report = reconcile(&evidence);
    let dropped_markers = conduct.keep_logs(options)?;
    let happened = faults.iter().map(|(kind, began, ended)| Happened {
        kind: *kind,
        began_ms: millis(*began - conduct.begin),
        ended_ms: millis(*ended - conduct.begin),
        recovery_ms: progress.recovery(*ended).map(millis),
    });
    Ok(Summary {
        seed: options.seed,
        delivery: options.delivery,
        seconds: conduct.begin.elapsed().as_secs(),
        report,
        looks,
        dropped_markers,
        faults: happened.collect(),
        longest_stall_ms: millis(progress.longest_stall(conduct.begin, produced)),
        drain_ms: millis(drained),
        complaints: std::mem::take(&mut conduct.fleet.complaints),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What it takes to carry out a plan.
struct Conduct {
    servers: Servers,
    fleet: Fleet,
    /// The one that replicas are, and the one that they change to next; a single one if there is no other.
    releases: VecDeque<PathBuf>,
    verbose: bool,
    begin: Instant,
}

impl Conduct {
    /// Every fault of the plan, with its beginning and end; then waits until the time is over.
    fn carry_out(&mut self, options: &Options) -> Result<Vec<(Kind, Instant, Instant)>> {
        let network = !self.servers.proxies.is_empty();
        let possible = |kind: &Kind| {
            (network || !kind.is_of_the_network()) && (options.previous.is_some() || !kind.is_of_releases())
        };
        let kinds: Vec<Kind> = options.kinds.iter().copied().filter(possible).collect();
        let end = self.begin + options.length;
        let mut happened = Vec::new();
        for fault in plan::generate(options.seed, options.length, &kinds) {
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

    fn inflict(&mut self, fault: &Fault) -> Result<()> {
        let slot = self.fleet.slot(fault.nth);
        match fault.kind {
            Kind::Kill => {
                self.fleet.kill(slot)?;
                self.wait(fault.lasts)?;
                self.fleet.start_at(slot)?;
            }
            Kind::Terminate => {
                self.fleet.terminate(slot)?;
                self.wait(fault.lasts)?;
                self.fleet.start_at(slot)?;
            }
            Kind::Freeze => {
                self.fleet.freeze(slot)?;
                self.wait(fault.lasts)?;
                self.fleet.thaw(slot)?;
            }
            Kind::Start => drop(self.fleet.start()?),
            Kind::Stop if self.fleet.len() > MIN_REPLICAS => self.fleet.terminate(slot)?,
            Kind::Stop => drop(self.fleet.start()?),
            Kind::Roll => {
                let slots: Vec<usize> = (0..self.fleet.len()).map(|nth| self.fleet.slot(nth)).collect();
                self.roll(&slots)?;
            }
            Kind::Upgrade => self.change_release(fault.lasts)?,
            Kind::BrokerRestart => {
                self.servers.kafka.stop()?;
                self.servers.kafka.restart()?;
            }
            Kind::BrokerKill => {
                self.servers.kafka.kill()?;
                self.wait(fault.lasts)?;
                self.servers.kafka.restart()?;
            }
            Kind::BrokerFreeze => {
                self.servers.kafka.pause()?;
                self.wait(fault.lasts)?;
                self.servers.kafka.resume()?;
            }
            Kind::Cut => {
                self.servers.proxies[slot].cut();
                self.wait(fault.lasts)?;
                self.servers.proxies[slot].mend();
            }
            Kind::Delay => {
                self.servers.proxies[slot].slow(DELAY);
                self.wait(fault.lasts)?;
                self.servers.proxies[slot].mend();
            }
            Kind::Reset => self.servers.proxies[slot].reset(),
            Kind::DatabaseOutage => {
                self.servers.postgres.kill()?;
                self.wait(fault.lasts)?;
                self.servers.postgres.restart()?;
            }
            Kind::RegistryOutage => {
                self.servers.registry.kill()?;
                self.wait(fault.lasts)?;
                self.servers.registry.restart()?;
            }
        }
        Ok(())
    }

    /// Half of the replicas become the other release, share the group with the rest for a while, and then all are. The first
    /// time is an upgrade, the next a rollback. Topics and schemas are brought up to date first, as an operator does; an older
    /// release leaves them as they are.
    fn change_release(&mut self, half_way: Duration) -> Result<()> {
        self.releases.rotate_left(1);
        let release = self.releases.front().context("a release")?.clone();
        self.fleet.prepare_for(&release)?;
        (0..MAX_REPLICAS).for_each(|slot| self.fleet.set_binary(slot, &release));
        let slots: Vec<usize> = (0..self.fleet.len()).map(|nth| self.fleet.slot(nth)).collect();
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

    /// Until every record has come to its end, or nothing has got on for long.
    fn drain(&mut self, progress: &Progress, sent: usize) -> Result<()> {
        let (mut left, mut since) = (progress.left(), Instant::now());
        while !progress.is_complete(sent) && since.elapsed() < DRAIN_SILENCE {
            self.wait(LOOK)?;
            if progress.left() > left {
                (left, since) = (progress.left(), Instant::now());
            }
        }
        Ok(())
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

    /// The servers' logs go with the servers; evidence needs the broker's. How often it says that it dropped markers.
    fn keep_logs(&self, options: &Options) -> Result<usize> {
        let Some(log) = self.servers.kafka.log_path() else { return Ok(0) };
        let kept = options.directory.join("kafka.log");
        std::fs::copy(log, &kept).context("keep the broker's log")?;
        let text = std::fs::read(&kept)?;
        Ok(String::from_utf8_lossy(&text).matches(DROPPED_MARKERS).count())
    }

    fn say(&self, what: &str) {
        if self.verbose {
            eprintln!("{:>7.1} s  {what}", self.begin.elapsed().as_secs_f64());
        }
    }
}
