//! What there is more of than there should be.

use std::collections::{BTreeMap, BTreeSet};

use super::way::{Way, Ways};
use super::{Ending, Evidence, Forward, Harm, Place, Report};

pub(super) fn check(evidence: &Evidence, ways: &Ways<'_>, report: &mut Report) {
    for way in &ways.all {
        outcomes(way, report);
        forwards(ways, way, report);
    }
    ends(ways, report);
    let (mut emitting, mut writing) = (BTreeSet::new(), BTreeSet::new());
    for way in ways.all.iter().filter(|way| way.ending() == Some(Ending::Processed)) {
        let Some(id) = way.sent.id.as_deref() else { continue };
        emitting.extend(way.sent.emits.then_some(id));
        writing.extend(way.sent.writes.then_some(id));
    }
    // Each cause has one; what is left over is one too many.
    for event in &evidence.derived {
        if !emitting.remove(event.cause.as_str()) {
            report.add(Harm::DoubledDerived, || format!("{} of {} at {}", event.sequence, event.cause, event.place));
        }
    }
    for row in &evidence.rows {
        if !writing.remove(row.cause.as_str()) {
            report.add(Harm::DoubledEffects, || {
                format!("{} version {} by {} under epoch {}", row.key, row.version, row.cause, row.epoch)
            });
        }
    }
}

/// One outcome per attempt, and one that leaves per place.
fn outcomes(way: &Way<'_>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    let mut left = BTreeSet::new();
    for outcome in &way.outcomes {
        let again = !seen.insert((&outcome.place, outcome.attempt, outcome.kind.as_str()));
        let left_again = outcome.leaves() && !left.insert(&outcome.place);
        if again || left_again {
            report.add(Harm::DoubledOutcomes, || format!("{}/{}: {}", outcome.at.0, outcome.at.1, way.describe()));
        }
    }
}

/// One record per place that it was moved from.
fn forwards(ways: &Ways<'_>, way: &Way<'_>, report: &mut Report) {
    let all = ways.forwarded.get(&way.sent.place).map(Vec::as_slice).unwrap_or_default();
    for (kind, to) in [
        ("retried_topic", Forward::Retry),
        ("dead_lettered", Forward::DeadLetter),
        ("unprocessed", Forward::Unprocessed),
    ] {
        let places: BTreeSet<&Place> =
            way.outcomes.iter().filter(|outcome| outcome.kind == kind).map(|outcome| &outcome.place).collect();
        let said = places.len();
        for one in all.iter().filter(|one| one.to == to).skip(said) {
            report.add(Harm::DoubledForwards, || format!("{} : {}", one.place, way.describe()));
        }
    }
}

/// Of the records with one id, one comes to an end of its own; the others are duplicates of it.
fn ends(ways: &Ways<'_>, report: &mut Report) {
    let mut ended: BTreeMap<&str, &Way<'_>> = BTreeMap::new();
    for way in &ways.all {
        let Some(id) = way.sent.id.as_deref() else { continue };
        if way.ending().is_none_or(|ending| ending == Ending::Duplicate) {
            continue;
        }
        if let Some(first) = ended.insert(id, way) {
            report.add(Harm::DoubledOutcomes, || format!("{} and {}", first.describe(), way.describe()));
        }
    }
}
