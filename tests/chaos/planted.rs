//! Harms that are really written into the topics and the database of a run that had none, after it, or taken out of them: the
//! reconciler finds each of them and nothing else. That it judges right what it is given is for its unit tests; here is what gives it
//! that. A reader that misses something would find every run clean.
//!
//! All sixteen kinds are here, each by every witness that is read afterwards: order by derived events, rows and outcomes; a passed
//! record by a position and by the offset map. What was only so for a while is not: the looks at positions during the run
//! (`Evidence::snapshots`) and the order in which records were seen to leave are the driver's memory, nothing that could be read
//! again, and a harm in them would be one put into that memory, which the unit tests do.

mod audit;
mod rows;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use coafi_chaos::reading::source_ends;
use coafi_chaos::reconcile::{Derived, Ending, Forward, Harm, Overflow, Place, Policy, Report, Sent};
use coafi_chaos::run::Aftermath;
use coafi_chaos::world::{AUDIT_TOPIC, IN_PLACE_ATTEMPTS, KEYED_ATTEMPTS, STRICT_ATTEMPTS, TOPIC};

use audit::Audit;
use topics::Topics;

/// Partitions of the source topic: of events that no replica has seen, and of those that the audit topic tells of.
const UNHANDLED: i32 = 0;
const PASSED: i32 = 1;
const PASSED_BY_THE_MAP: i32 = 2;
const TOLD: i32 = 3;

const STRICT: Policy = Policy { in_place: STRICT_ATTEMPTS, attempts: STRICT_ATTEMPTS, overflow: Overflow::DeadLetter };
const KEYED: Policy = Policy { in_place: IN_PLACE_ATTEMPTS, attempts: KEYED_ATTEMPTS, overflow: Overflow::RetryTopic };

pub(crate) fn harms_are_found(mut run: Aftermath) {
    assert_eq!(found(&run.judge(&[]).unwrap()), BTreeMap::new(), "it reads as it did");
    let (planted, sent) = plant(&run);

    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    planted.iter().for_each(|(harm, _)| *expected.entry(harm.name()).or_default() += 1);
    let missing: Vec<_> =
        Harm::ALL.iter().map(|harm| harm.name()).filter(|name| !expected.contains_key(name)).collect();
    assert_eq!(missing, [""; 0], "kinds that are not planted");
    let report = run.judge(&sent).unwrap();
    assert_eq!(found(&report), expected, "{:#?}", report.examples);
    for (harm, named) in planted {
        let named = |(of, example): &(Harm, String)| *of == harm && example.contains(&named);
        assert!(report.examples.iter().any(named), "{}: {:#?}", harm.name(), report.examples);
    }
}

/// How many of each harm there are.
fn found(report: &Report) -> BTreeMap<&'static str, usize> {
    let counts = Harm::ALL.into_iter().map(|harm| (harm.name(), report.count(harm)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Harms, each with what its evidence has to name, and the events that were sent for them.
fn plant(run: &Aftermath) -> (Vec<(Harm, String)>, Vec<Sent>) {
    let topics = Topics::new(&run.world.kafka);
    let mut planting = Planting {
        run,
        audit: Audit::new(run, &topics),
        topics,
        ends: source_ends(&run.world.kafka).unwrap(),
        harms: Vec::new(),
        sent: Vec::new(),
    };
    planting.outcome_twice();
    planting.derived_events();
    planting.dead_letters();
    planting.rows();
    planting.unhandled();
    planting.passed();
    planting.told();
    (planting.harms, planting.sent)
}

struct Planting<'r> {
    run: &'r Aftermath,
    topics: Topics,
    audit: Audit,
    /// Where the next event of each partition of the source topic goes.
    ends: BTreeMap<i32, i64>,
    harms: Vec<(Harm, String)>,
    sent: Vec<Sent>,
}

impl Planting<'_> {
    fn harm(&mut self, harm: Harm, named: impl ToString) {
        self.harms.push((harm, named.to_string()));
    }

    fn outcome_twice(&mut self) {
        let run = self.run;
        let outcome = run.evidence.outcomes.iter().find(|outcome| outcome.kind == "processed").unwrap();
        let (partition, offset) = outcome.at;
        self.topics.write_again(&Place { topic: AUDIT_TOPIC.into(), partition, offset });
        self.harm(Harm::DoubledOutcomes, &outcome.place);
    }

    /// The first one of a partition moves to its end, that of another one goes, and of a third there is one more.
    fn derived_events(&mut self) {
        let run = self.run;
        let derived = &run.evidence.derived;
        let mut firsts: BTreeMap<i32, &Derived> = BTreeMap::new();
        for event in derived {
            let first = firsts.entry(event.place.partition).or_insert(event);
            *first = if event.place < first.place { event } else { *first };
        }
        let hopped = hopped(run);
        let is_overtaken = |first: &Derived| {
            let later = derived.iter().any(|event| event.key == first.key && event.place > first.place);
            later && !hopped.contains(first.cause.as_str())
        };
        let moved = *firsts.values().find(|first| is_overtaken(first)).expect("a key with two derived events");
        let mut others = firsts.values().filter(|first| first.place != moved.place);
        let [gone, doubled] = [others.next(), others.next()].map(|first| *first.expect("three partitions"));

        self.topics.write_again(&moved.place);
        self.topics.remove_up_to(&moved.place);
        self.harm(Harm::Reordered, format!("derived events of {}: {} ", moved.key, moved.cause));
        self.topics.remove_up_to(&gone.place);
        self.harm(Harm::DerivedMissing, format!(" {} (", gone.cause));
        self.topics.write_again(&doubled.place);
        self.harm(Harm::DoubledDerived, format!(" {} at", doubled.cause));
    }

    /// The last one is there once more, and the first one of a partition is gone.
    fn dead_letters(&mut self) {
        let run = self.run;
        let letters = || run.evidence.forwarded.iter().filter(|one| one.to == Forward::DeadLetter);
        let doubled = letters().max_by_key(|letter| &letter.place).unwrap();
        let gone = letters().min_by_key(|letter| &letter.place).unwrap();
        assert_ne!(gone.place, doubled.place, "one dead letter only");
        self.topics.write_again(&doubled.place);
        self.harm(Harm::DoubledForwards, &doubled.origin);
        self.topics.remove_up_to(&gone.place);
        self.harm(Harm::ForwardsMissing, format!("{} ", gone.origin));
    }

    fn rows(&mut self) {
        self.harms.extend(rows::plant(self.run));
    }

    /// An event that no replica is there to handle.
    fn unhandled(&mut self) {
        let lost = self.send(UNHANDLED, STRICT);
        self.harm(Harm::Lost, named(&lost));
    }

    /// Somebody who is no member commits the position after an event, and an offset map that names another one.
    fn passed(&mut self) {
        let passed = self.send(PASSED, STRICT);
        let position = Place { offset: passed.place.offset + 1, ..passed.place.clone() };
        self.topics.commit(&position, "");
        let before = self.send(PASSED_BY_THE_MAP, STRICT);
        let resolved = self.send(PASSED_BY_THE_MAP, STRICT);
        self.topics.commit(&before.place, &only_the_second_is_resolved(before.place.offset));
        self.harm(Harm::Lost, named(&before));
        for event in [passed, resolved] {
            for harm in [Harm::Lost, Harm::PassedUnresolved, Harm::AuditGaps] {
                self.harm(harm, named(&event));
            }
        }
    }

    /// Events of which the audit topic tells what must not be.
    fn told(&mut self) {
        let begin = self.ends[&TOLD];
        let mut ids = Vec::new();
        for (harms, policy, said) in [
            (&[Harm::AttemptSkipped][..], STRICT, &[("retried_in_place", 1), ("processed", 3)][..]),
            (&[Harm::AttemptWentBack], STRICT, &[("retried_in_place", 1), ("retried_in_place", 2), ("processed", 1)]),
            (
                &[Harm::AttemptsBeyondPolicy],
                Policy { attempts: 1, ..STRICT },
                &[("retried_in_place", 1), ("processed", 2)],
            ),
            // Neither was written where this says that it is.
            (&[Harm::ForwardsMissing, Harm::WrongEnd], STRICT, &[("unprocessed", 0)]),
            (&[Harm::ForwardsMissing, Harm::Lost], KEYED, &[("retried_in_place", 1), ("retried_topic", 2)]),
        ] {
            let event = self.send(TOLD, policy);
            said.iter().for_each(|&(kind, attempt)| self.tell(&event, kind, attempt, 0));
            harms.iter().for_each(|&harm| self.harm(harm, named(&event)));
            ids.extend(event.id);
        }
        ids.extend(self.out_of_turn());
        // Its receipt covers the place, and does not name it.
        self.seen_without_receipt();
        let end = self.ends[&TOLD];
        self.audit.receipt(&self.topics, TOPIC, TOLD, begin..end, &ids);
        self.seen_without_receipt();
    }

    /// Two events of a key, of which the second one begins before the first has ended.
    fn out_of_turn(&mut self) -> [String; 2] {
        let first = self.send(TOLD, STRICT);
        let second = self.send_under(first.key.clone(), TOLD, STRICT);
        self.tell(&first, "processed", 1, 1_000);
        self.tell(&second, "processed", 1, 0);
        self.harm(Harm::Reordered, named(&second));
        [first, second].map(|event| event.id.unwrap())
    }

    fn seen_without_receipt(&mut self) {
        let event = self.send(TOLD, STRICT);
        self.tell(&event, "processed", 1, 0);
        self.harm(Harm::AuditGaps, named(&event));
    }

    fn tell(&self, event: &Sent, kind: &str, attempt: i32, begins_after_ms: i64) {
        self.audit.outcome(&self.topics, event, kind, attempt, begins_after_ms);
    }

    /// An event that has to be processed, under a key of its own.
    fn send(&mut self, partition: i32, policy: Policy) -> Sent {
        self.send_under(format!("planted-{}", self.sent.len()), partition, policy)
    }

    fn send_under(&mut self, key: String, partition: i32, policy: Policy) -> Sent {
        let last = self.run.evidence.sent.iter().chain(&self.sent).map(|sent| sent.sequence).max().unwrap();
        let sequence = last + 1;
        let id = format!("drill-{sequence}");
        self.topics.send(TOPIC, partition, &key, &id);
        let end = self.ends.get_mut(&partition).unwrap();
        let place = Place { topic: TOPIC.into(), partition, offset: *end };
        *end += 1;
        let (id, ending) = (Some(id), Ending::Processed);
        let sent = Sent { place, id, key, sequence, ending, class: None, policy, emits: false, writes: false };
        self.sent.push(sent.clone());
        sent
    }
}

/// Events that went through a retry topic, and so are not asked for their order.
fn hopped(run: &Aftermath) -> BTreeSet<&str> {
    let evidence = &run.evidence;
    let from: BTreeSet<&Place> =
        evidence.forwarded.iter().filter(|one| one.to == Forward::Retry).map(|one| &one.origin).collect();
    evidence.sent.iter().filter(|sent| from.contains(&sent.place)).filter_map(|sent| sent.id.as_deref()).collect()
}

/// As every example says it.
fn named(event: &Sent) -> String {
    event.id.clone().unwrap()
}

/// An offset map in the form that docs/other-tools.md describes: of the two records from the position on, the second.
fn only_the_second_is_resolved(position: i64) -> String {
    let mut raw = vec![0; 8];
    leb128(position.cast_unsigned(), &mut raw);
    // Claim, transaction, dirty, running; no suspects, no attempts; form 0: one unresolved, one resolved.
    raw.extend([0, 0, 0, 0, 0, 0, 0, 1, 1]);
    format!("coafi1:{}", STANDARD_NO_PAD.encode(raw))
}

fn leb128(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    into.push(number.to_le_bytes()[0]);
}
