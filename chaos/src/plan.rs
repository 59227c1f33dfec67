//! Which faults happen, in which order and how long each lasts: a function of the seed.

use std::time::Duration;

use crate::random::Random;

/// A kind of fault, which a run may be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Kill,
    Terminate,
    Freeze,
    Start,
    Stop,
    Roll,
    BrokerRestart,
    BrokerKill,
    BrokerFreeze,
    Cut,
    Delay,
    Reset,
    DatabaseOutage,
    RegistryOutage,
    /// Every replica in turn ends and comes back as the other release.
    Upgrade,
    /// A broker is away until others lead its partitions, and comes back.
    LeaderChange,
    /// All brokers but one are away: nothing can be acknowledged by as many as it has to be.
    MinIsrLoss,
    /// The source topic gets more partitions, drained first.
    Grow,
    /// An event kills every process that handles it.
    Crash,
    /// All replicas are killed again and again while the database is away.
    DeployLoop,
}

impl Kind {
    pub const ALL: [Self; 20] = [
        Self::Kill,
        Self::Terminate,
        Self::Freeze,
        Self::Start,
        Self::Stop,
        Self::Roll,
        Self::BrokerRestart,
        Self::BrokerKill,
        Self::BrokerFreeze,
        Self::Cut,
        Self::Delay,
        Self::Reset,
        Self::DatabaseOutage,
        Self::RegistryOutage,
        Self::Upgrade,
        Self::LeaderChange,
        Self::MinIsrLoss,
        Self::Grow,
        Self::Crash,
        Self::DeployLoop,
    ];

    /// As in the JSON object.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
            Self::Freeze => "freeze",
            Self::Start => "start_replica",
            Self::Stop => "stop_replica",
            Self::Roll => "rolling_restart",
            Self::BrokerRestart => "broker_restart",
            Self::BrokerKill => "broker_kill",
            Self::BrokerFreeze => "broker_freeze",
            Self::Cut => "network_cut",
            Self::Delay => "network_delay",
            Self::Reset => "network_reset",
            Self::DatabaseOutage => "database_outage",
            Self::RegistryOutage => "registry_outage",
            Self::Upgrade => "upgrade",
            Self::LeaderChange => "leader_change",
            Self::MinIsrLoss => "min_isr_loss",
            Self::Grow => "grow",
            Self::Crash => "crash",
            Self::DeployLoop => "deploy_loop",
        }
    }

    /// Whether it takes a proxy between replica and broker.
    #[must_use]
    pub const fn is_of_the_network(self) -> bool {
        matches!(self, Self::Cut | Self::Delay | Self::Reset)
    }

    /// Whether it takes a second release to change to.
    #[must_use]
    pub const fn is_of_releases(self) -> bool {
        matches!(self, Self::Upgrade)
    }

    /// Whether it takes more than one broker.
    #[must_use]
    pub const fn is_of_a_cluster(self) -> bool {
        matches!(self, Self::LeaderChange | Self::MinIsrLoss)
    }

    /// Shortest and longest duration in milliseconds, where it has one.
    const fn range_ms(self) -> (u64, u64) {
        match self {
            // Until the replica is started again: at once, or after its partitions have moved.
            Self::Kill => (0, 9_000),
            Self::Terminate => (0, 2_000),
            // Longer than the session timeout (6 s), and half of them longer than `max.poll.interval.ms` (10 s).
            Self::Freeze => (7_000, 13_000),
            // Some end before the session does, some after.
            Self::Cut => (3_000, 11_000),
            Self::Delay => (4_000, 8_000),
            Self::BrokerKill => (0, 6_000),
            Self::BrokerFreeze => (3_000, 9_000),
            Self::DatabaseOutage | Self::RegistryOutage => (3_000, 10_000),
            // How long both releases share the group before the other half follows.
            Self::Upgrade => (1_000, 8_000),
            // Longer than the controller waits for a broker (9 s).
            Self::LeaderChange => (11_000, 16_000),
            Self::MinIsrLoss => (5_000, 15_000),
            // Several lives of a replica, each long enough for its partitions to come to it (a session and a join).
            Self::DeployLoop => (18_000, 30_000),
            Self::Start | Self::Stop | Self::Roll | Self::BrokerRestart | Self::Reset | Self::Grow | Self::Crash => {
                (0, 0)
            }
        }
    }

    /// About how long it takes beside its duration: a server or a replica has to end and to start.
    const fn overhead_ms(self) -> u64 {
        match self {
            Self::BrokerRestart | Self::BrokerKill => 6_000,
            Self::RegistryOutage => 7_000,
            Self::Roll | Self::Upgrade => 6_000,
            Self::LeaderChange | Self::MinIsrLoss => 8_000,
            // As long as the command looks at publishers that stand still, and at replicas that take partitions up.
            Self::Grow => 25_000,
            // Six processes die of it, each after its partitions have come to it.
            Self::Crash => 40_000,
            Self::Terminate | Self::Stop | Self::DatabaseOutage | Self::DeployLoop => 2_000,
            Self::Kill | Self::Freeze | Self::Start | Self::BrokerFreeze | Self::Cut | Self::Delay | Self::Reset => 200,
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How long nothing is done before it.
    pub pause: Duration,
    pub kind: Kind,
    /// Which replica: its number modulo how many run then.
    pub nth: usize,
    pub lasts: Duration,
}

/// Before the first fault the group forms and the broker's code is compiled.
const WARM_UP_MS: u64 = 6_000;
/// Between two faults: some hit a group that has not recovered from the one before.
const PAUSE_MS: (u64, u64) = (500, 7_000);

/// Faults of these kinds for about `length`. Each kind comes once before any comes again.
#[must_use]
pub fn generate(seed: u64, length: Duration, kinds: &[Kind]) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (mut faults, mut elapsed_ms, mut bag) = (Vec::new(), WARM_UP_MS, Vec::new());
    while !kinds.is_empty() {
        if bag.is_empty() {
            bag = kinds.to_vec();
            random.shuffle(&mut bag);
        }
        let Some(kind) = bag.pop() else { break };
        let first = faults.is_empty();
        let pause_ms = if first { WARM_UP_MS } else { random.between(PAUSE_MS.0, PAUSE_MS.1) };
        let (shortest, longest) = kind.range_ms();
        let lasts_ms = random.between(shortest, longest);
        let nth = usize::try_from(random.below(1 << 16)).unwrap_or(0);
        elapsed_ms += if first { 0 } else { pause_ms } + lasts_ms + kind.overhead_ms();
        if elapsed_ms > length_ms && !first {
            break;
        }
        let (pause, lasts) = (Duration::from_millis(pause_ms), Duration::from_millis(lasts_ms));
        faults.push(Fault { pause, kind, nth, lasts });
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(generate(7, 3 * MINUTE, &Kind::ALL), generate(7, 3 * MINUTE, &Kind::ALL));
        assert_ne!(generate(7, 3 * MINUTE, &Kind::ALL), generate(8, 3 * MINUTE, &Kind::ALL));
        assert!(generate(7, MINUTE, &[]).is_empty());
    }

    #[test]
    fn a_longer_run_begins_like_a_shorter_one() {
        let (short, long) = (generate(7, 2 * MINUTE, &Kind::ALL), generate(7, 9 * MINUTE, &Kind::ALL));
        assert!(short.len() < long.len());
        assert_eq!(short[..], long[..short.len()]);
    }

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        for seed in 0..50 {
            let plan = generate(seed, 10 * MINUTE, &Kind::ALL);
            let kinds: BTreeSet<Kind> = plan.iter().take(Kind::ALL.len()).map(|fault| fault.kind).collect();
            assert_eq!(kinds.len(), Kind::ALL.len(), "seed {seed}");
            let total: Duration = plan.iter().map(|fault| fault.pause + fault.lasts).sum();
            assert!(total < 10 * MINUTE, "seed {seed}: {total:?}");
        }
    }

    #[test]
    fn a_freeze_outlives_the_session() {
        let plan = generate(1, 60 * MINUTE, &[Kind::Freeze]);
        assert!(plan.len() > 100);
        assert!(plan.iter().all(|fault| fault.lasts > Duration::from_secs(6)));
        assert!(plan.iter().any(|fault| fault.lasts > Duration::from_secs(10)));
    }
}
