//! What goes wrong, and when.

use std::time::Duration;

use coafi_core::engine::{Dependency, PartitionId, Time};
use coafi_core::event::NextOffset;

use crate::profile::Profile;
use crate::random::Random;
use crate::simulation::Simulation;

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// kill -9. A new process takes the slot after `down`.
    Crash {
        slot: usize,
        down: Duration,
    },
    /// Everything at once: a power cut, or a deploy that does not come up.
    CrashAll {
        down: Duration,
    },
    /// Stops for a time: longer than the session timeout, and it wakes as a zombie with old epochs.
    Freeze {
        slot: usize,
        lasts: Duration,
    },
    /// Removed from the group while it runs on (`max.poll.interval.ms`): its partitions are lost.
    Evict {
        slot: usize,
    },
    /// A partition is moved between members.
    Rebalance,
    ScaleUp,
    /// Shut down cleanly and not replaced for a while.
    ScaleDown {
        slot: usize,
        down: Duration,
    },
    /// The next commits of this process are aborted by the broker.
    AbortCommits {
        slot: usize,
        count: u32,
    },
    /// The answers to the next commits are lost; half of them have happened.
    LoseAnswers {
        slot: usize,
        count: u32,
    },
    /// Another producer took the transactional id.
    FenceProducer {
        slot: usize,
    },
    Outage {
        dependency: Dependency,
        lasts: Duration,
    },
    Recovery {
        dependency: Dependency,
    },
    /// Receipts are acknowledged only after this long.
    SlowReceipts {
        delay: Duration,
        lasts: Duration,
    },
    FastReceipts,
    /// The ledger takes no records.
    LedgerOutage {
        lasts: Duration,
    },
    /// The brokers take so many bytes of metadata with an offset, fewer than the engine has been told; then somebody mends that.
    NarrowMetadata {
        bytes: usize,
        lasts: Duration,
    },
    WideMetadata,
    /// Retention passes the committed position. The owner is down, or reads on.
    Retention {
        partition: PartitionId,
        beyond: i64,
        owner_is_down: bool,
    },
    /// The group is stopped, and a tool sets the committed offset: an operator's reset, or what a mirroring tool has
    /// translated, our own metadata and all.
    SetOffset {
        partition: PartitionId,
        stray: Stray,
        down: Duration,
    },
    /// A member commits a partition that it does not own, and the broker takes it. Some time later the owner dies.
    StrayCommit {
        partition: PartitionId,
        stray: Stray,
        owner_lives: Duration,
    },
    CrashOwner {
        partition: PartitionId,
    },
    /// The source topic gets a partition more, and records in it.
    AddPartition {
        records: u32,
    },
    /// The routes' file changes. `enables`: no route of the new one is disabled.
    Reroute {
        enables: bool,
    },
    /// The process's clock leaps ahead: its machine was suspended.
    ClockLeap {
        slot: usize,
        by: Duration,
    },
}

/// What somebody commits who is not the partition's owner.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stray {
    /// Another position, in hundredths of the log, with no metadata or somebody else's.
    Plain(u64),
    Foreign(u64),
    /// The same with the metadata of the owner's last commit, which belongs to another position.
    Mirrored(u64),
    /// What the owner had committed before its last commit: an old position, with the map that belongs to it.
    Earlier,
}

impl Fault {
    pub(crate) const NAMES: [&'static str; 21] = [
        "crash",
        "crash all",
        "freeze",
        "evict",
        "rebalance",
        "scale up",
        "scale down",
        "abort commits",
        "lose answers",
        "fence producer",
        "outage",
        "slow receipts",
        "retention",
        "recovery",
        "set offset",
        "stray commit",
        "add partition",
        "clock leap",
        "reroute",
        "ledger outage",
        "narrow metadata",
    ];

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::CrashAll { .. } => "crash all",
            Self::Freeze { .. } => "freeze",
            Self::Evict { .. } => "evict",
            Self::Rebalance => "rebalance",
            Self::ScaleUp => "scale up",
            Self::ScaleDown { .. } => "scale down",
            Self::AbortCommits { .. } => "abort commits",
            Self::LoseAnswers { .. } => "lose answers",
            Self::FenceProducer { .. } => "fence producer",
            Self::Outage { .. } => "outage",
            Self::Recovery { .. } => "recovery",
            Self::SlowReceipts { .. } => "slow receipts",
            Self::FastReceipts => "fast receipts",
            Self::LedgerOutage { .. } => "ledger outage",
            Self::NarrowMetadata { .. } => "narrow metadata",
            Self::WideMetadata => "wide metadata",
            Self::Retention { .. } => "retention",
            Self::SetOffset { .. } => "set offset",
            Self::StrayCommit { .. } => "stray commit",
            Self::CrashOwner { .. } => "crash owner",
            Self::AddPartition { .. } => "add partition",
            Self::ClockLeap { .. } => "clock leap",
            Self::Reroute { .. } => "reroute",
        }
    }

    /// The faults of a seed, spread over the time in which there is work.
    pub(crate) fn plan(profile: &Profile, random: &mut Random) -> Vec<(Time, Self)> {
        let span = profile.publishing.as_millis() as u64 + 3000;
        let mut at = |fault: &mut dyn FnMut(&mut Random) -> Self| {
            let at = Time::default() + random.millis(1, span);
            (at, fault(random))
        };
        let mut plan: Vec<_> = (0..profile.faults).map(|_| at(&mut |random| Self::any(profile, random))).collect();
        plan.extend((1..profile.reroutes).map(|_| at(&mut |_| Self::Reroute { enables: false })));
        if profile.reroutes > 0 {
            plan.push((Time::default() + Duration::from_millis(span), Self::Reroute { enables: true }));
        }
        plan.extend(
            (0..profile.ledger_outages)
                .map(|_| at(&mut |random| Self::LedgerOutage { lasts: random.millis(50, 12_000) })),
        );
        plan.extend((0..profile.narrow_brokers).map(|_| at(&mut |random| Self::narrow(profile, random))));
        plan
    }

    /// Nothing, or what some commits fit into and others do not.
    fn narrow(profile: &Profile, random: &mut Random) -> Self {
        let bytes = random.pick(&[0, 35, 45, 60]).min(profile.settings.max_metadata_bytes - 1);
        Self::NarrowMetadata { bytes, lasts: random.millis(50, 4000) }
    }

    fn any(profile: &Profile, random: &mut Random) -> Self {
        let slot = random.index(profile.replicas);
        let partition = PartitionId(random.between(0, u64::from(profile.sources) - 1) as u32);
        match random.between(0, 19) {
            0 | 1 => Self::Crash { slot, down: random.millis(10, 3000) },
            2 => Self::CrashAll { down: random.millis(10, 2000) },
            3 => Self::Freeze { slot, lasts: random.millis(50, 2500) },
            4 => Self::Freeze { slot, lasts: random.millis(3000, 12_000) },
            5 => Self::Evict { slot },
            6 | 7 => Self::Rebalance,
            8 => Self::ScaleUp,
            9 => Self::ScaleDown { slot, down: random.millis(100, 4000) },
            10 => Self::AbortCommits { slot, count: random.between(1, 5) as u32 },
            11 => Self::LoseAnswers { slot, count: random.between(1, 5) as u32 },
            12 => Self::FenceProducer { slot },
            13 => Self::Outage { dependency: any_dependency(random), lasts: random.millis(50, 6000) },
            14 => Self::SlowReceipts { delay: random.millis(100, 800), lasts: random.millis(100, 3000) },
            15 => Self::SetOffset { partition, stray: any_stray(random), down: random.millis(10, 1000) },
            16 => Self::StrayCommit { partition, stray: any_stray(random), owner_lives: random.millis(0, 1500) },
            17 => Self::AddPartition { records: random.between(0, 30) as u32 },
            18 => {
                let most_ms = random.pick(&[2000, 60_000, 7_200_000]);
                Self::ClockLeap { slot, by: random.millis(100, most_ms) }
            }
            _ => Self::Retention { partition, beyond: random.pick(&[3, 12, 100]), owner_is_down: random.chance(50) },
        }
    }
}

fn any_dependency(random: &mut Random) -> Dependency {
    Dependency::new(random.pick(&[Dependency::DATABASE, Dependency::DATABASE, Dependency::ARTIFACTS]))
}

fn any_stray(random: &mut Random) -> Stray {
    let place = random.between(0, 100);
    random.pick(&[Stray::Plain(place), Stray::Foreign(place), Stray::Mirrored(place), Stray::Earlier])
}

pub(crate) fn apply(simulation: &mut Simulation, fault: Fault) {
    let now = simulation.world.now;
    match fault {
        Fault::Crash { slot, down } => simulation.crash(slot, down),
        Fault::CrashAll { down } => (0..simulation.processes.len()).for_each(|slot| simulation.crash(slot, down)),
        Fault::Freeze { slot, lasts } => simulation.freeze(slot, lasts),
        Fault::Evict { slot } => simulation.evict(slot),
        Fault::Rebalance => simulation.world.coordinator.want_rebalance(),
        Fault::ScaleUp => simulation.scale_up(),
        Fault::ScaleDown { slot, down } => simulation.shut_down(slot, Some(down)),
        Fault::AbortCommits { slot, count } => {
            simulation.with(slot, |process| process.aborts_ahead += count);
        }
        Fault::LoseAnswers { slot, count } => {
            simulation.with(slot, |process| process.lost_answers_ahead += count);
        }
        Fault::FenceProducer { slot } => {
            simulation.world.broker.init_producer(slot);
        }
        Fault::Outage { dependency, lasts } => {
            simulation.world.services.goes_down(&dependency);
            simulation.world.schedule_fault(now + lasts, Fault::Recovery { dependency });
        }
        Fault::Recovery { dependency } => {
            simulation.world.services.comes_back(&dependency);
        }
        Fault::SlowReceipts { delay, lasts } => {
            simulation.world.receipt_delay = delay;
            simulation.world.schedule_fault(now + lasts, Fault::FastReceipts);
        }
        Fault::LedgerOutage { lasts } => {
            let back_at = simulation.world.ledger_back_at();
            simulation.world.ledger_back_at = back_at.max(Some(now + lasts));
        }
        Fault::NarrowMetadata { bytes, lasts } => {
            simulation.world.broker.set_metadata_max_bytes(Some(bytes));
            simulation.world.schedule_fault(now + lasts, Fault::WideMetadata);
        }
        Fault::WideMetadata => simulation.world.broker.set_metadata_max_bytes(None),
        Fault::FastReceipts => simulation.world.receipt_delay = Duration::ZERO,
        Fault::Retention { partition, beyond, owner_is_down } => {
            if owner_is_down {
                crash_owner(simulation, partition, Duration::from_millis(500));
            }
            retention(simulation, partition, beyond);
        }
        Fault::SetOffset { partition, stray, down } => {
            (0..simulation.processes.len()).for_each(|slot| simulation.crash(slot, down));
            // What they had open keeps the offsets of its partitions from being read; the tool waits for that.
            for slot in 0..simulation.processes.len() {
                simulation.world.broker.init_producer(slot);
            }
            commit_stray(simulation, partition, stray);
        }
        Fault::StrayCommit { partition, stray, owner_lives } => {
            // A commit of unknown outcome is resolved by what is committed: who overwrites that takes its answer away.
            let undecided = simulation.processes.iter().flatten().any(|process| process.commits(partition));
            if !undecided && commit_stray(simulation, partition, stray) {
                simulation.world.schedule_fault(now + owner_lives, Fault::CrashOwner { partition });
            }
        }
        Fault::CrashOwner { partition } => crash_owner(simulation, partition, Duration::from_millis(500)),
        Fault::AddPartition { records } => simulation.world.grow(records),
        Fault::Reroute { enables } => simulation.reroute(enables),
        Fault::ClockLeap { slot, by } => {
            simulation.world.sighted("a clock leapt");
            simulation.leap(slot, by);
        }
    }
}

fn crash_owner(simulation: &mut Simulation, partition: PartitionId, down: Duration) {
    for slot in 0..simulation.processes.len() {
        let holds = simulation.processes[slot].as_ref().is_some_and(|process| process.holds(partition));
        if holds {
            simulation.crash(slot, down);
        }
    }
}

/// Commits for the partition without owning it. False if there is nothing of that kind to commit.
fn commit_stray(simulation: &mut Simulation, partition: PartitionId, stray: Stray) -> bool {
    let broker = &mut simulation.world.broker;
    let committed = broker.last_committed(partition);
    let (start, end) = (broker.log_start(partition).0, broker.stable_end(partition).0);
    let at = |place: u64| NextOffset(start + (end - start) * place as i64 / 100);
    let (position, metadata) = match stray {
        Stray::Plain(place) => (at(place), String::new()),
        Stray::Foreign(place) => (at(place), "{\"consumer\":\"somebody else's\"}".to_owned()),
        Stray::Mirrored(place) if at(place) != committed.position => (at(place), committed.metadata),
        Stray::Mirrored(_) => return false,
        Stray::Earlier => match broker.earlier_commit(partition) {
            Some(earlier) if earlier.position >= broker.log_start(partition) => (earlier.position, earlier.metadata),
            Some(_) | None => return false,
        },
    };
    if !simulation.world.broker.takes_metadata(&metadata) {
        return false;
    }
    simulation.world.note(|| format!("stray     {}:{position} {metadata:?}", partition.0));
    simulation.world.broker.commit_by_a_stranger(partition, position, metadata);
    true
}

fn retention(simulation: &mut Simulation, partition: PartitionId, beyond: i64) {
    let broker = &mut simulation.world.broker;
    let position = broker.last_committed(partition).position;
    let end = broker.stable_end(partition);
    let start = NextOffset((position.0 + beyond).min(end.0));
    if start > broker.log_start(partition) {
        broker.truncate(partition, start);
        simulation.world.truth.truncated(partition, start);
    }
}
