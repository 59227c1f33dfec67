//! Records without an end, with a wrong one, or with an end that leads nowhere.

use std::collections::BTreeSet;

use super::way::{Way, Ways};
use super::{Ending, Evidence, Forward, Harm, Report};

pub(super) fn check(evidence: &Evidence, ways: &Ways<'_>, report: &mut Report) {
    let derived: BTreeSet<&str> = evidence.derived.iter().map(|event| event.cause.as_str()).collect();
    let written: BTreeSet<&str> = evidence.rows.iter().map(|row| row.cause.as_str()).collect();
    for way in &ways.all {
        let sent = way.sent;
        let ending = way.ending();
        match ending {
            None => report.add(Harm::Lost, || way.describe()),
            Some(ending) if ending != sent.ending => {
                report.add(Harm::WrongEnd, || format!("{:?} instead of {:?}: {}", ending, sent.ending, way.describe()));
            }
            Some(_) => {}
        }
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

/// What an outcome says was moved has to be there.
fn forwards(ways: &Ways<'_>, way: &Way<'_>, report: &mut Report) {
    for (kind, to) in [
        ("retried_topic", Forward::Retry),
        ("dead_lettered", Forward::DeadLetter),
        ("unprocessed", Forward::Unprocessed),
    ] {
        let said = way.outcomes.iter().any(|outcome| outcome.kind == kind);
        let there = ways.forwarded.get(&way.sent.place).is_some_and(|all| all.iter().any(|one| one.to == to));
        if said && !there {
            report.add(Harm::ForwardsMissing, || format!("{to:?}: {}", way.describe()));
        }
    }
}
