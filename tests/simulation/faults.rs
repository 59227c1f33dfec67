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
    /// The owner is down and retention passes the committed position.
    Retention {
        partition: PartitionId,
        beyond: i64,
    },
}

impl Fault {
    pub(crate) const NAMES: [&'static str; 14] = [
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
            Self::Retention { .. } => "retention",
        }
    }

    /// The faults of a seed, spread over the time in which there is work.
    pub(crate) fn plan(profile: &Profile, random: &mut Random) -> Vec<(Time, Self)> {
        let span = profile.publishing.as_millis() as u64 + 3000;
        (0..profile.faults).map(|_| (Time::default() + random.millis(1, span), Self::any(profile, random))).collect()
    }

    fn any(profile: &Profile, random: &mut Random) -> Self {
        let slot = random.index(profile.replicas);
        match random.between(0, 15) {
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
            _ => Self::Retention {
                partition: PartitionId(random.between(0, u64::from(profile.sources) - 1) as u32),
                beyond: random.between(1, 12) as i64,
            },
        }
    }
}

fn any_dependency(random: &mut Random) -> Dependency {
    Dependency::new(random.pick(&[Dependency::DATABASE, Dependency::DATABASE, Dependency::ARTIFACTS]))
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
            simulation.world.services.down.insert(dependency.clone());
            simulation.world.schedule_fault(now + lasts, Fault::Recovery { dependency });
        }
        Fault::Recovery { dependency } => {
            simulation.world.services.down.remove(&dependency);
        }
        Fault::SlowReceipts { delay, lasts } => {
            simulation.world.receipt_delay = delay;
            simulation.world.schedule_fault(now + lasts, Fault::FastReceipts);
        }
        Fault::FastReceipts => simulation.world.receipt_delay = Duration::ZERO,
        Fault::Retention { partition, beyond } => retention(simulation, partition, beyond),
    }
}

/// Whoever holds the partition dies first: a running consumer that falls behind retention is a crash of another kind.
fn retention(simulation: &mut Simulation, partition: PartitionId, beyond: i64) {
    for slot in 0..simulation.processes.len() {
        let holds = simulation.processes[slot].as_ref().is_some_and(|process| process.holds(partition));
        if holds {
            simulation.crash(slot, Duration::from_millis(500));
        }
    }
    let broker = &mut simulation.world.broker;
    let position = broker.last_committed(partition).position;
    let end = broker.stable_end(partition);
    let start = NextOffset((position.0 + beyond).min(end.0));
    if start > broker.log_start(partition) {
        broker.truncate(partition, start);
        simulation.world.truth.truncated(partition, start);
    }
}
