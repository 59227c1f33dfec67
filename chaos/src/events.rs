//! The events of a run and what has to come of each: a function of the seed.
//!
//! Four sources, one route each: `strict` retries in place only, and dead-letters what there is no room for; `halting` is as
//! strict, and halts instead; `keyed` goes on to a retry topic; `faults` panics and hangs under a short deadline. A key belongs
//! to one source, so to one lane.

use crate::random::Random;
use crate::reconcile::{Ending, Overflow, Policy};
use crate::world::{FAULT_ATTEMPTS, IN_PLACE_ATTEMPTS, KEYED_ATTEMPTS, STRICT_ATTEMPTS};

/// Keys of each source.
const KEYS: u64 = 40;
/// A copy repeats one of so many events before it.
const COPY_WINDOW: usize = 300;

/// Before an event's sequence in its id.
const ID_PREFIX: &str = "drill-";

/// The sequence of the event with this id; `None` if it is none of a run's.
#[must_use]
pub fn sequence_of(id: &str) -> Option<i64> {
    id.strip_prefix(ID_PREFIX)?.parse().ok()
}

/// A sequence of keys with one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Strict,
    Keyed,
    Faults,
    Halting,
}

impl Source {
    /// CloudEvents `source`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "/drill/strict",
            Self::Keyed => "/drill/keyed",
            Self::Faults => "/drill/faults",
            Self::Halting => "/drill/halting",
        }
    }

    /// As its route says.
    const fn policy(self) -> Policy {
        let (in_place, attempts, overflow) = match self {
            Self::Strict => (STRICT_ATTEMPTS, STRICT_ATTEMPTS, Overflow::DeadLetter),
            Self::Keyed => (IN_PLACE_ATTEMPTS, KEYED_ATTEMPTS, Overflow::RetryTopic),
            Self::Faults => (FAULT_ATTEMPTS, FAULT_ATTEMPTS, Overflow::DeadLetter),
            Self::Halting => (STRICT_ATTEMPTS, STRICT_ATTEMPTS, Overflow::Halt),
        };
        Policy { in_place, attempts, overflow }
    }
}

/// The value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Step {
        action: &'static str,
        times: i32,
        emit: bool,
        write: bool,
    },
    /// Bytes that no schema describes.
    Garbage,
    /// A schema id that the registry does not have.
    UnknownSchema,
}

/// What a record's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    Event,
    /// Of a type that no route takes.
    UnroutedEvent,
    None,
}

/// A record that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub id: String,
    pub source: Source,
    pub key: String,
    pub sequence: i64,
    pub attributes: Attributes,
    pub body: Body,
    pub ending: Ending,
    /// The class that it has if it is dead-lettered.
    pub class: Option<&'static str>,
    pub policy: Policy,
}

impl Draft {
    /// Whether it derives an event when it is processed.
    #[must_use]
    pub const fn emits(&self) -> bool {
        matches!(self.body, Body::Step { emit: true, .. })
    }

    /// Whether it writes a row when it is processed.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self.body, Body::Step { write: true, .. })
    }
}

/// Makes events, one after another, without end.
#[derive(Clone, Debug)]
pub struct Events {
    random: Random,
    count: u64,
    recent: Vec<Draft>,
}

impl Events {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Another sequence than the plan's.
        Self { random: Random::new(seed ^ 0x000e_7e47), count: 0, recent: Vec::new() }
    }

    /// One that kills every process that handles it, under a key of its own.
    pub fn killer(&mut self) -> Draft {
        let body = Body::Step { action: "kill", times: FAULT_ATTEMPTS, emit: false, write: false };
        let killer = self.drafted(Source::Faults, String::new(), Attributes::Event, body, Ending::DeadLettered);
        self.count += 1;
        Draft { key: format!("killer-{}", killer.sequence), class: Some("crash"), ..killer }
    }

    /// Repeats nothing of before: where a key has moved to another partition, a copy is an event of its own there.
    pub fn forget(&mut self) {
        self.recent.clear();
    }

    fn draft(&mut self) -> Draft {
        let random = &mut self.random;
        let source = match random.below(1_000) {
            0..=469 => Source::Strict,
            470..=884 => Source::Keyed,
            885..=984 => Source::Halting,
            _ => Source::Faults,
        };
        let key = format!("{}-{}", source.name().trim_start_matches("/drill/"), random.below(KEYS));
        let (emit, write) = (random.chance(300), random.chance(300));
        let (mut attributes, mut body) = (Attributes::Event, Body::Step { action: "ok", times: 0, emit, write });
        let mut ending = Ending::Processed;
        match random.below(1_000) {
            _ if source == Source::Faults => {
                let action = if random.chance(700) { "panic" } else { "hang" };
                let times = if random.chance(500) { 1 } else { FAULT_ATTEMPTS };
                // Without effects: under its short deadline a slow database would be a fault of its own.
                body = Body::Step { action, times, emit: false, write: false };
                ending = if times < FAULT_ATTEMPTS { Ending::Processed } else { Ending::DeadLettered };
            }
            0..=29 => {
                let times = i32::try_from(random.between(1, 3)).unwrap_or(1);
                // An event that comes back from the retry topic runs beside its key's others, so it writes nothing.
                let write = write && source != Source::Keyed;
                body = Body::Step { action: "transient", times, emit, write };
                ending = if times < source.policy().attempts { Ending::Processed } else { Ending::DeadLettered };
            }
            30..=34 => {
                body = Body::Step { action: "permanent", times: 1, emit, write };
                ending = Ending::DeadLettered;
            }
            35..=38 => (body, ending) = (Body::Garbage, Ending::DeadLettered),
            39..=41 => (body, ending) = (Body::UnknownSchema, Ending::DeadLettered),
            42..=43 => (attributes, ending) = (Attributes::None, Ending::DeadLettered),
            44..=46 => (attributes, ending) = (Attributes::UnroutedEvent, Ending::Unprocessed),
            _ => {}
        }
        self.drafted(source, key, attributes, body, ending)
    }

    fn drafted(&self, source: Source, key: String, attributes: Attributes, body: Body, ending: Ending) -> Draft {
        let class = match (attributes, &body) {
            (Attributes::None, _) | (_, Body::Garbage | Body::UnknownSchema) => Some("poison"),
            (_, Body::Step { action: "hang", .. }) => Some("deadline"),
            (_, Body::Step { action: "ok", .. }) => None,
            (_, Body::Step { action, .. }) => Some(*action),
        };
        let sequence = i64::try_from(self.count).unwrap_or(i64::MAX);
        let id = format!("{ID_PREFIX}{}", self.count);
        Draft { id, source, key, sequence, attributes, body, ending, class, policy: source.policy() }
    }
}

impl Iterator for Events {
    type Item = Draft;

    fn next(&mut self) -> Option<Draft> {
        if !self.recent.is_empty() && self.random.chance(10) {
            let index = usize::try_from(self.random.below(self.recent.len() as u64)).unwrap_or(0);
            return Some(Draft { ending: Ending::Duplicate, ..self.recent[index].clone() });
        }
        let draft = self.draft();
        self.count += 1;
        if draft.attributes == Attributes::Event {
            if self.recent.len() == COPY_WINDOW {
                self.recent.remove(0);
            }
            self.recent.push(draft.clone());
        }
        Some(draft)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_seed_is_a_sequence_of_events() {
        let events = |seed| Events::new(seed).take(5_000).collect::<Vec<_>>();
        assert_eq!(events(3), events(3));
        assert_ne!(events(3), events(4));
    }

    #[test]
    fn everything_that_can_happen_does() {
        let drafts: Vec<Draft> = Events::new(3).take(20_000).collect();
        let count = |is: &dyn Fn(&Draft) -> bool| drafts.iter().filter(|draft| is(draft)).count();
        for ending in [Ending::Processed, Ending::DeadLettered, Ending::Unprocessed, Ending::Duplicate] {
            assert!(count(&|draft| draft.ending == ending) > 20, "{ending:?}");
        }
        for source in [Source::Strict, Source::Keyed, Source::Faults, Source::Halting] {
            assert!(count(&|draft| draft.source == source) > 100, "{source:?}");
        }
        for action in ["ok", "transient", "permanent", "panic", "hang"] {
            assert!(count(&|d| matches!(d.body, Body::Step { action: a, .. } if a == action)) > 20, "{action}");
        }
        assert!(count(&|draft| draft.body == Body::Garbage) > 20);
        assert!(count(&|draft| draft.body == Body::UnknownSchema) > 20);
        assert!(count(&|draft| draft.attributes == Attributes::None) > 10);
    }

    #[test]
    fn of_one_key_a_sequence_rises_and_only_copies_repeat() {
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for draft in Events::new(9).take(20_000).filter(|draft| draft.ending != Ending::Duplicate) {
            let before = last.insert(draft.key.clone(), draft.sequence);
            assert!(before.is_none_or(|before| before < draft.sequence), "{draft:?} after {before:?}");
        }
    }

    #[test]
    fn what_may_hop_writes_nothing() {
        let transient = |d: &Draft| matches!(d.body, Body::Step { action: "transient", .. });
        let may_hop = |draft: &Draft| draft.policy.overflow == Overflow::RetryTopic && transient(draft);
        let drafts: Vec<Draft> = Events::new(9).take(20_000).filter(may_hop).collect();
        assert!(drafts.len() > 100 && drafts.iter().all(|draft| !draft.writes()));
    }

    #[test]
    fn a_killer_is_an_event_like_any_other_but_for_what_it_does() {
        let mut events = Events::new(9);
        let first = events.next().unwrap();
        let killer = events.killer();
        assert_eq!((killer.sequence, killer.class), (first.sequence + 1, Some("crash")));
        assert!(events.take(1_000).all(|draft| draft.id != killer.id && draft.key != killer.key));
    }

    #[test]
    fn what_is_forgotten_is_not_repeated() {
        let mut events = Events::new(9);
        let before: Vec<Draft> = events.by_ref().take(1_000).collect();
        events.forget();
        assert!(events.take(1_000).all(|draft| before.iter().all(|other| other.id != draft.id)));
    }
}
