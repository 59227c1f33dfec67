//! What handlers do with a record: fixed when the record is published, so that every attempt and every replay agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coafi_core::engine::{Attempt, Class, Dependency, Job, PartitionId, Ticket};
use coafi_core::event::Offset;

use crate::random::Random;
use crate::routing::Routing;

/// Where a record was published first. Its copies in retry topics keep it: what follows one record through a run (I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Equal for duplicates of one event.
    pub(crate) event: u32,
    pub(crate) key: u64,
    /// Which of the first routes takes it.
    pub(crate) kind: u8,
    /// Version of the routes that it was last looked at under.
    pub(crate) version: usize,
    pub(crate) origin: Origin,
    pub(crate) behaviour: Behaviour,
}

/// What a worker says of an attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Version of the routes that it was made under.
    pub(crate) version: usize,
    pub(crate) written: Option<Written>,
}

/// What an attempt that succeeded has written. Kept in the inbox, so a re-run says the same (I9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) origin: Origin,
    pub(crate) attempt: u32,
    pub(crate) process: u64,
}

/// `failures` counts attempts: with 2, the third one succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Succeed,
    Slow,
    Filtered,
    Transient {
        failures: u32,
    },
    Panic {
        failures: u32,
    },
    /// Runs into its deadline.
    Hang {
        failures: u32,
    },
    /// Fails with the same error as every other record of this kind while the artifact store is down.
    SameError,
    /// Asks [`SHOP`], which its route does not declare.
    AsksTheShop,
    Permanent,
    Invalid,
    Poison,
    /// Takes its process with it, so many times.
    Kill {
        times: u32,
    },
    /// Handlers fail so many times, the first three each as often as is said here. Those that are done do not run again.
    Several {
        failures: [u32; 3],
    },
}

/// One server of many, which only some records need. Behind the same network as the artifact store.
pub(crate) const SHOP: &str = "http:shop";

impl Behaviour {
    /// The attempts that fail before one succeeds.
    pub(crate) fn failures(self) -> u32 {
        match self {
            Self::Transient { failures } | Self::Panic { failures } | Self::Hang { failures } => failures,
            Self::Several { failures } => failures.into_iter().max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// A handler that runs this long is stopped and reported as [`Class::Deadline`].
pub(crate) const DEADLINE: Duration = Duration::from_millis(400);

pub(crate) enum Begin {
    /// It will have ended after this.
    Run(Duration),
    /// Its process will be dead after this.
    Kill(Duration),
}

/// Everything outside the replicas that handlers touch.
#[derive(Debug, Default)]
pub(crate) struct Services {
    pub(crate) down: BTreeSet<Dependency>,
    /// Times a record has killed its process.
    kills: BTreeMap<u32, u32>,
    /// `partition_owner` rows: the claim of the process that may write (I4).
    owners: BTreeMap<PartitionId, i64>,
    inbox: BTreeMap<Origin, Written>,
}

impl Services {
    pub(crate) fn goes_down(&mut self, dependency: &Dependency) {
        self.down.insert(dependency.clone());
        self.down.extend((&*dependency.0 == Dependency::ARTIFACTS).then(|| Dependency::new(SHOP)));
    }

    pub(crate) fn comes_back(&mut self, dependency: &Dependency) {
        let shop = &*dependency.0 == Dependency::ARTIFACTS;
        self.down.retain(|down| down != dependency && !(shop && &*down.0 == SHOP));
    }

    /// Takes a partition's database claim for a new owner.
    pub(crate) fn claim(&mut self, partition: PartitionId) -> i64 {
        let row = self.owners.entry(partition).or_default();
        *row += 1;
        *row
    }

    /// Whether a later owner has claimed it.
    pub(crate) fn is_claimed_since(&self, partition: PartitionId, claim: i64) -> bool {
        self.owners.get(&partition).is_some_and(|latest| *latest > claim)
    }

    pub(crate) fn begin(&mut self, job: &Job<Payload>, random: &mut Random) -> Begin {
        match job.payload.behaviour {
            Behaviour::Slow => {
                // Some block their thread: neither a deadline nor a cancellation stops them.
                let most = if random.chance(10) { 2500 } else { 350 };
                Begin::Run(random.millis(50, most))
            }
            Behaviour::Hang { failures } if job.attempt <= failures => Begin::Run(DEADLINE),
            Behaviour::Kill { times } => {
                let kills = self.kills.entry(job.payload.event).or_default();
                if *kills < times {
                    *kills += 1;
                    Begin::Kill(random.millis(0, 5))
                } else {
                    Begin::Run(random.millis(0, 5))
                }
            }
            _ => {
                let most = if random.chance(10) { 40 } else { 4 };
                Begin::Run(random.millis(0, most))
            }
        }
    }

    /// The verdict of an attempt that ends now, the handlers done, and what was written.
    pub(crate) fn end(
        &mut self,
        job: &Job<Payload>,
        routing: &Routing,
        claim: i64,
        process: u64,
    ) -> (Attempt, u16, Option<Written>) {
        let (route, handlers) = (routing.policy(job.payload.kind), routing.handlers(job.payload.kind));
        let failed = |class, code| (Attempt::Failed { class, code }, job.done, None);
        if let Some(down) = route.dependencies.iter().find(|needed| self.down.contains(needed)) {
            return failed(Class::Systemic(down.clone()), 1);
        }
        // Unlike that of any other record: equal errors in several lanes are an outage, and never end.
        let Ticket { partition, offset, .. } = job.ticket;
        let own_code = 1000 + (offset.0.unsigned_abs() << 8) + u64::from(partition.0);
        match job.payload.behaviour {
            Behaviour::Filtered => return (Attempt::Filtered, job.done, None),
            Behaviour::Permanent => return failed(Class::Permanent, own_code),
            Behaviour::Invalid => return failed(Class::Invalid, own_code),
            Behaviour::Poison => return failed(Class::Poison, own_code),
            Behaviour::Transient { failures } if job.attempt <= failures => return failed(Class::Transient, own_code),
            Behaviour::Panic { failures } if job.attempt <= failures => return failed(Class::Panic, own_code),
            Behaviour::Hang { failures } if job.attempt <= failures => return failed(Class::Deadline, own_code),
            Behaviour::AsksTheShop if self.down.contains(&Dependency::new(SHOP)) => {
                return failed(Class::Systemic(Dependency::new(SHOP)), 1);
            }
            Behaviour::SameError if self.down.contains(&Dependency::new(Dependency::ARTIFACTS)) => {
                return failed(Class::Transient, 7);
            }
            _ => {}
        }
        let done = run_those_not_done(job, handlers);
        if (done.count_ones() as usize) < handlers.len() {
            return (Attempt::Failed { class: Class::Transient, code: own_code }, done, None);
        }
        self.write(job, claim, process, done)
    }

    /// One SQL transaction: the ownership check, the inbox row with the result, the effect.
    fn write(&mut self, job: &Job<Payload>, claim: i64, process: u64, done: u16) -> (Attempt, u16, Option<Written>) {
        if self.owners.get(&job.ticket.partition).is_some_and(|owner| *owner > claim) {
            return (Attempt::Fenced, job.done, None);
        }
        let origin = job.payload.origin;
        let written = *self.inbox.entry(origin).or_insert(Written { origin, attempt: job.attempt, process });
        (Attempt::Succeeded, done, Some(written))
    }

    pub(crate) fn result(&self, origin: Origin) -> Option<Written> {
        self.inbox.get(&origin).copied()
    }
}

/// The handlers that are done after it, by position.
fn run_those_not_done(job: &Job<Payload>, handlers: &[u8]) -> u16 {
    let succeeds = |name: u8| match job.payload.behaviour {
        Behaviour::Several { failures } => {
            failures.get(usize::from(name)).is_none_or(|failures| job.attempt > *failures)
        }
        _ => true,
    };
    let succeeding = handlers.iter().enumerate().filter(|(_, name)| succeeds(**name));
    succeeding.fold(job.done, |done, (position, _)| done | 1 << position)
}
