//! Everything around the processes: time, the queue of what happens next, the broker, the group, the handlers' services.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use coafi_core::engine::{PartitionId, RouteId, Time, Verdict};
use coafi_core::event::{Identity, Offset};

use crate::broker::{Broker, Message};
use crate::coordinator::Coordinator;
use crate::faults::Fault;
use crate::handlers::{Behaviour, Origin, Payload, Services};
use crate::profile::Profile;
use crate::random::Random;
use crate::replica::Input;
use crate::routing::lane_hash;
use crate::sightings;
use crate::truth::Truth;

/// Lines of the trace that a failing seed prints.
const TRACE_LINES: usize = 60;

#[derive(Debug)]
pub(crate) enum Event {
    Publish(Publication),
    Fault(Fault),
    /// Time-outs of sessions and transactions, and the rebalance if one is wanted.
    Coordinate,
    Start {
        slot: usize,
    },
    Process {
        slot: usize,
        process: u64,
        input: Input,
    },
    /// A process ends with an error: no repetition would help.
    Fail {
        slot: usize,
        process: u64,
    },
    /// A handler takes its process with it.
    Kill {
        slot: usize,
        process: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Publication {
    Record { partition: PartitionId, event: u32, key: u64, behaviour: Behaviour, verdict: Verdict, bytes: u32 },
    Gap { partition: PartitionId },
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) random: Random,
    pub(crate) profile: Profile,
    pub(crate) broker: Broker,
    pub(crate) coordinator: Coordinator,
    pub(crate) services: Services,
    pub(crate) truth: Truth,
    pub(crate) receipt_delay: Duration,
    pub(crate) ledger_back_at: Option<Time>,
    /// Faults that happened, by name.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Situations that came about, by name (`sightings.rs`).
    pub(crate) sightings: BTreeMap<&'static str, u64>,
    pub(crate) trace: Trace,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    /// Publications and faults that are still to come.
    ahead: usize,
}

/// The last things that happened. Off unless a seed is replayed: formatting is most of the cost of a step.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) on: bool,
    pub(crate) print: bool,
    pub(crate) lines: VecDeque<String>,
}

impl World {
    pub(crate) fn new(profile: Profile, random: Random) -> Self {
        let broker = Broker::new(profile.sources, profile.tiers.len() as u32, profile.base);
        let coordinator = Coordinator::new(broker.partitions().collect());
        let truth = Truth::new(&profile);
        Self {
            now: Time::default(),
            random,
            profile,
            broker,
            coordinator,
            services: Services::default(),
            truth,
            receipt_delay: Duration::ZERO,
            ledger_back_at: None,
            faults: BTreeMap::new(),
            sightings: BTreeMap::new(),
            trace: Trace::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            ahead: 0,
        }
    }

    /// Counts a situation of [`crate::sightings::ALL`].
    pub(crate) fn sighted(&mut self, what: &'static str) {
        debug_assert!(sightings::ALL.contains(&what), "{what:?} is not in the list");
        *self.sightings.entry(what).or_default() += 1;
    }

    pub(crate) fn schedule(&mut self, at: Time, event: Event) {
        self.ahead += usize::from(matches!(event, Event::Publish(_) | Event::Fault(_) | Event::Start { .. }));
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    pub(crate) fn schedule_fault(&mut self, at: Time, fault: Fault) {
        self.schedule(at, Event::Fault(fault));
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.ahead -= usize::from(matches!(event, Event::Publish(_) | Event::Fault(_) | Event::Start { .. }));
        self.now = at;
        Some(event)
    }

    pub(crate) fn next_at(&self) -> Option<Time> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Nothing more is published, goes wrong or starts.
    pub(crate) fn is_calm(&self) -> bool {
        self.ahead == 0
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if !self.trace.on {
            return;
        }
        let line = format!("{:>10.3} ms  {}", self.now.0 as f64 / 1000.0, what());
        if self.trace.print {
            println!("{line}");
        }
        self.trace.lines.push_back(line);
        if self.trace.lines.len() > TRACE_LINES {
            self.trace.lines.pop_front();
        }
    }

    /// Everything that is resolved is committed, and nothing is left: lag is 0 in every partition.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_calm()
            && self.truth.unresolved().next().is_none()
            && self.broker.partitions().all(|partition| self.is_caught_up(partition))
    }

    /// Its committed position is its end, unless a stranger's commit was the last: the owner sees no reason to commit again.
    fn is_caught_up(&self, partition: PartitionId) -> bool {
        let committed = self.broker.last_committed(partition);
        committed.by_a_stranger || committed.position == self.broker.stable_end(partition)
    }

    pub(crate) fn publish(&mut self, publication: Publication) -> Option<Offset> {
        match publication {
            Publication::Gap { partition } => {
                self.broker.append_gap(partition);
                None
            }
            Publication::Record { partition, event, key, behaviour, verdict, bytes } => {
                let offset = Offset(self.broker.stable_end(partition).0);
                let kind = match verdict {
                    Verdict::Routed { route, .. } => route.0 as u8,
                    Verdict::Poison | Verdict::Unrecognised => 0,
                };
                let origin = Origin { partition, offset };
                let payload = Payload { event, key, kind, version: 0, origin, behaviour };
                let identity = Some(Identity(u128::from(event)));
                let message = Message { payload, bytes, verdict, identity, attempts: 0, done: 0, not_before: None };
                self.truth.visible(partition, offset, &message);
                self.note(|| format!("published   {}:{offset} event {event} key {key} {behaviour:?}", partition.0));
                self.broker.append(partition, message);
                Some(offset)
            }
        }
    }

    /// Schedules everything that the profile publishes. A key belongs to one partition and one route.
    pub(crate) fn publish_by_profile(&mut self) {
        let mut random = self.random.split();
        let span = self.profile.publishing.as_micros() as u64;
        let mut at = 0;
        let mut earlier: Vec<Publication> = Vec::new();
        for event in 0..self.profile.events {
            at += random.between(0, 2 * span / u64::from(self.profile.events));
            let key = random.between(0, self.profile.keys - 1);
            let partition = PartitionId((key % u64::from(self.profile.sources)) as u32);
            let mut publication = any_record(&self.profile, &mut random, partition, event, key);
            if !earlier.is_empty() && random.chance(self.profile.duplicates) {
                publication = random.pick(&earlier);
            }
            if random.chance(self.profile.gaps) {
                for _ in 0..random.between(1, 4) {
                    self.schedule(Time(at), Event::Publish(Publication::Gap { partition }));
                }
            }
            earlier.push(publication.clone());
            self.schedule(Time(at), Event::Publish(publication));
            if random.chance(self.profile.gaps) {
                self.schedule(Time(at), Event::Publish(Publication::Gap { partition }));
            }
        }
    }

    /// Adds a partition to the source topic, and records for it. Keys keep their partition: a topic of ours is drained before
    /// it grows, so to the engine the records of a new partition have nothing to do with those of the others.
    pub(crate) fn grow(&mut self, records: u32) {
        self.sighted("a partition was added while others ran");
        let partition = self.broker.add_partition();
        self.coordinator.add_partition(partition);
        let (keys, mut random) = (self.profile.keys, self.random.split());
        for record in 0..records {
            let event = ADDED_EVENTS + (partition.0 << 12) + record;
            let key = keys * u64::from(partition.0 + 1) + random.between(0, keys - 1);
            let publication = any_record(&self.profile, &mut random, partition, event, key);
            let at = self.now + random.millis(0, 1500);
            self.schedule(at, Event::Publish(publication));
        }
    }
}

fn any_record(profile: &Profile, random: &mut Random, partition: PartitionId, event: u32, key: u64) -> Publication {
    let route = RouteId((key % profile.routes.len() as u64) as u32);
    let verdict = match random.between(0, 99) {
        0 | 1 if profile.trouble => Verdict::Poison,
        2 | 3 if profile.trouble => Verdict::Unrecognised,
        _ => Verdict::Routed { route, lane: lane_hash(key) },
    };
    let behaviour = if profile.trouble { any_behaviour(profile, random) } else { Behaviour::Succeed };
    let bytes = random.between(10, LARGEST as u64 / 4).max(if random.chance(2) { LARGEST as u64 } else { 0 }) as u32;
    Publication::Record { partition, event, key, behaviour, verdict, bytes }
}

/// Events of added partitions are numbered from here.
const ADDED_EVENTS: u32 = 1 << 24;

/// Bytes of the largest record.
pub(crate) const LARGEST: usize = 1600;

fn any_behaviour(profile: &Profile, random: &mut Random) -> Behaviour {
    let failures = random.between(1, 5) as u32;
    if profile.hopeless > 0 && random.chance(profile.hopeless) {
        return Behaviour::Transient { failures: u32::MAX };
    }
    match random.between(0, 999) {
        0..=79 => Behaviour::Slow,
        80..=109 => Behaviour::Filtered,
        110..=209 => Behaviour::Transient { failures },
        210..=229 => Behaviour::Panic { failures },
        230..=244 => Behaviour::Hang { failures },
        245..=274 if profile.shopping => Behaviour::AsksTheShop,
        245..=274 => Behaviour::SameError,
        275..=289 => Behaviour::Permanent,
        290..=299 => Behaviour::Invalid,
        300..=309 => Behaviour::Poison,
        310..=349 => {
            Behaviour::Several { failures: [failures, random.between(0, 2) as u32, random.between(0, 3) as u32] }
        }
        // A seed has few of these, and only where there are faults at all: each costs several restarts.
        350..=352 if profile.faults > 0 => Behaviour::Kill { times: random.pick(&[1, 2, 1000]) },
        _ => Behaviour::Succeed,
    }
}

/// What an offset map of this partition names as the topic that it belongs to.
pub(crate) fn map_identity(partition: PartitionId) -> u64 {
    0x00c0_af10_0000_0000 + u64::from(partition.0)
}
