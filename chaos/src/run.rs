//! A run: the stack, the replicas, the producer, the faults one after another, the end, the judgement.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::conduct::Conduct;
use crate::fleet::Fleet;
use crate::keeping;
use crate::plan::{self, Kind};
use crate::positions::Positions;
use crate::producer::Producer;
use crate::progress::Progress;
use crate::reading;
use crate::reconcile::{Evidence, Report, Sent, reconcile};
use crate::servers::Servers;
use crate::summary::{Happened, Standstill, Summary};
use crate::wire::Schemas;
use crate::world::{AUDIT_TOPIC, Delivery, OUTCOME_RECORD, RECEIPT_RECORD, STEP_RECORD, TOPIC, World};

/// Replicas of a run at most.
pub const MAX_REPLICAS: usize = 5;

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
    /// One, or three, of which any may be away.
    pub brokers: usize,
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
    Ok(run_and_keep(options)?.0)
}

/// What is left of a run: its servers with their topics and tables, and what was read of them.
pub struct Aftermath {
    pub world: World,
    pub evidence: Evidence,
    schemas: Schemas,
    /// They end with it.
    _servers: Servers,
}

impl Aftermath {
    /// Reads everything again, and compares it with what was sent, `more` included.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn judge(&mut self, more: &[Sent]) -> Result<Report> {
        let sent = [&self.evidence.sent[..], more].concat();
        let again = reading::gather(&self.world, &mut self.schemas, sent)?;
        let (left, snapshots) = (self.evidence.left.clone(), self.evidence.snapshots.clone());
        Ok(reconcile(&Evidence { left, snapshots, ..again }))
    }
}

/// As [`run`], and nothing is put away yet.
///
/// # Errors
/// As [`run`].
pub fn run_and_keep(options: &Options) -> Result<(Summary, Aftermath)> {
    let servers = Servers::start(options.brokers, MAX_REPLICAS)?;
    let world = World {
        binary: options.previous.as_ref().unwrap_or(&options.binary).clone(),
        directory: options.directory.clone(),
        kafka: servers.kafka.bootstrap_servers(),
        registry: servers.registry.url(),
        postgres: servers.postgres.url(),
        delivery: options.delivery,
        replication: options.brokers,
        room: false,
        reports: options.previous.is_none(),
        settings: options.settings.clone(),
    };
    world.lay_out()?;
    let mut schemas = Schemas::new(&world.registry);
    let step = schemas.latest(TOPIC, STEP_RECORD)?;
    for record in [OUTCOME_RECORD, RECEIPT_RECORD] {
        schemas.latest(AUDIT_TOPIC, record)?;
    }
    let kinds = kinds(options, &servers);
    let plan = plan::generate(options.seed, options.length, &kinds);
    let mut fleet = Fleet::new(world.clone(), &servers, MAX_REPLICAS);
    for _ in 0..options.replicas {
        fleet.start()?;
    }
    let progress = Arc::new(Progress::start(&world.kafka, schemas.clone())?);
    let positions = Positions::start(&world.kafka, Arc::clone(&progress));
    let producer = Producer::start(&world.kafka, options.seed, options.events_per_second, schemas.clone(), step)?;
    let mut conduct = Conduct::new(servers, fleet, &world, producer, Arc::clone(&progress));
    conduct.verbose = options.verbose;
    conduct.releases = options.previous.iter().chain([&options.binary]).cloned().collect();
    let faults = conduct.carry_out(plan, options.length)?;
    let produced = Instant::now();
    let sent = conduct.finish()?;
    let drained = progress.last().map_or(Duration::ZERO, |last| last.saturating_duration_since(produced));
    let Conduct { begin, mut servers, mut fleet, refusals, .. } = conduct;

    let snapshots = positions.finish();
    let mut evidence = reading::gather(&world, &mut schemas, sent)?;
    (evidence.left, evidence.snapshots) = (progress.order(), snapshots);
    let report = reconcile(&evidence);
    let status_reports = if world.reports { reading::status_reports(&world.kafka)? } else { 0 };
    let dropped_markers = keeping::logs(&mut servers, &options.directory)?;
    keeping::evidence(&evidence, &options.directory)?;
    let happened = faults.iter().map(|(kind, began, ended)| Happened {
        kind: *kind,
        began_ms: millis(*began - begin),
        ended_ms: millis(*ended - begin),
        recovery_ms: progress.recovery(*ended).map(millis),
    });
    let stall = progress.longest_stall(begin, produced);
    let summary = Summary {
        seed: options.seed,
        delivery: options.delivery,
        brokers: options.brokers,
        seconds: begin.elapsed().as_secs(),
        report,
        read: evidence.amounts(),
        status_reports,
        dropped_markers,
        faults: happened.collect(),
        longest_stall: Standstill {
            partition: stall.partition,
            began_ms: millis(stall.began - begin),
            lasted_ms: millis(stall.lasted),
        },
        drain_ms: millis(drained),
        complaints: std::mem::take(&mut fleet.complaints),
        refusals,
    };
    Ok((summary, Aftermath { world, evidence, schemas, _servers: servers }))
}

/// Those of the options that these servers can have.
fn kinds(options: &Options, servers: &Servers) -> Vec<Kind> {
    let (network, cluster) = (!servers.proxies.is_empty(), options.brokers > 1);
    let possible = |kind: &Kind| {
        (network || !kind.is_of_the_network())
            && (cluster || !kind.is_of_a_cluster())
            && (options.previous.is_some() || !kind.is_of_releases())
    };
    options.kinds.iter().copied().filter(possible).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
