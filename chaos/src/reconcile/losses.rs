//! Records without an end, with a wrong one, or with an end that leads nowhere.

use std::collections::BTreeSet;

use super::way::{Way, Ways};
use super::{Ending, Evidence, Forward, Harm, Outcome, Overflow, Report};

pub(super) fn check(evidence: &Evidence, ways: &Ways<'_>, report: &mut Report) {
    let derived: BTreeSet<&str> = evidence.derived.iter().map(|event| event.cause.as_str()).collect();
    let written: BTreeSet<&str> = evidence.rows.iter().map(|row| row.cause.as_str()).collect();
    for way in &ways.all {
        let sent = way.sent;
        let ending = way.ending();
        match ending {
            None => report.add(Harm::Lost, || way.describe()),
            Some(ending) if ending != sent.ending && !overflowed_to(way, ending) => {
                report.add(Harm::WrongEnd, || format!("{:?} instead of {:?}: {}", ending, sent.ending, way.describe()));
            }
            Some(_) => {}
        }
        manner(way, report);
        let id = sent.id.as_deref().unwrap_or_default();
        if ending == Some(Ending::Processed) && sent.emits && !derived.contains(id) {
            report.add(Harm::DerivedMissing, || way.describe());
        }
        if ending == Some(Ending::Processed) && sent.writes && !written.contains(id) {
            report.add(Harm::EffectsMissing, || way.describe());
        }
        forwards(ways, way, report);
    }
}

/// Whether its policy is to dead-letter what there is no room for, and there was none.
fn overflowed_to(way: &Way<'_>, ending: Ending) -> bool {
    let overflowed = ending == Ending::DeadLettered && way.sent.policy.overflow == Overflow::DeadLetter;
    overflowed && way.overflowed()
}

/// A dead letter has the class that the event deserves, and what there was no room for went the way of its policy.
fn manner(way: &Way<'_>, report: &mut Report) {
    let sent = way.sent;
    for outcome in &way.outcomes {
        let policy = match outcome.kind.as_str() {
            "retried_topic" => Overflow::RetryTopic,
            "dead_lettered" => Overflow::DeadLetter,
            "halted" => Overflow::Halt,
            _ => continue,
        };
        let wrong_way = (policy == Overflow::Halt || way.is_overflow(outcome)) && policy != sent.policy.overflow;
        let wrong_class = outcome.kind == "dead_lettered" && sent.class != outcome.class.as_deref();
        if wrong_way || wrong_class {
            report.add(Harm::WrongEnd, || {
                format!("class {:?} and {:?} are its due: {}", sent.class, sent.policy, way.describe())
            });
        }
    }
}

/// What an outcome says was moved has to be there. Where it was repeated, which is reported by itself, and ended otherwise, the
/// first end was taken back before all of it was written, and only the last one stands.
fn forwards(ways: &Ways<'_>, way: &Way<'_>, report: &mut Report) {
    for (kind, to) in [
        ("retried_topic", Forward::Retry),
        ("dead_lettered", Forward::DeadLetter),
        ("unprocessed", Forward::Unprocessed),
    ] {
        let said = way.outcomes.iter().any(|outcome| outcome.kind == kind && !is_repeated(way, outcome));
        let there = ways.forwarded.get(&way.sent.place).is_some_and(|all| all.iter().any(|one| one.to == to));
        if said && !there {
            report.add(Harm::ForwardsMissing, || format!("{to:?}: {}", way.describe()));
        }
    }
}

/// There is a later outcome of the record at the same place.
fn is_repeated(way: &Way<'_>, outcome: &Outcome) -> bool {
    way.outcomes.iter().any(|later| later.place == outcome.place && later.at > outcome.at)
}
