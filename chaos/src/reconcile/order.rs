//! Order within a key, by three witnesses: the derived topic, the history of the key's row, and when handlers ran.
//!
//! A record that went through a retry topic has left its place, as its route's policy says, so it is not asked about. Of
//! what is repeated, the first counts: a repetition is counted elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::way::{Way, Ways};
use super::{Ending, Evidence, Harm, Report};

/// How far the clocks of two processes of one machine may be apart.
const CLOCK_TOLERANCE_MS: i64 = 20;

pub(super) fn check(evidence: &Evidence, ways: &Ways<'_>, report: &mut Report) {
    let hopped: BTreeSet<&str> =
        ways.all.iter().filter(|way| way.hopped()).filter_map(|way| way.sent.id.as_deref()).collect();
    let mut derived: Vec<_> = evidence.derived.iter().filter(|event| !hopped.contains(event.cause.as_str())).collect();
    derived.sort_by_key(|event| (&event.key, &event.place));
    let events = derived.iter().map(|event| (event.key.as_str(), event.sequence, event.cause.as_str()));
    rising(events, "derived events", report);

    let mut rows: Vec<_> = evidence.rows.iter().filter(|row| !hopped.contains(row.cause.as_str())).collect();
    rows.sort_by_key(|row| (&row.key, row.version));
    rising(rows.iter().map(|row| (row.key.as_str(), row.sequence, row.cause.as_str())), "rows", report);

    runs(ways, report);
}

/// `items`: key, sequence and cause, by key in the order in which they happened.
fn rising<'e>(items: impl Iterator<Item = (&'e str, i64, &'e str)>, what: &str, report: &mut Report) {
    let mut seen = BTreeSet::new();
    let mut last: Option<(&str, i64)> = None;
    for (key, sequence, cause) in items {
        if !seen.insert(cause) {
            continue;
        }
        match last {
            Some((of, before)) if of == key && before > sequence => {
                report.add(Harm::Reordered, || format!("{what} of {key}: {cause} ({sequence}) after {before}"));
            }
            _ => last = Some((key, sequence)),
        }
    }
}

/// The handler of a record begins after that of the one before it in its key has ended.
fn runs(ways: &Ways<'_>, report: &mut Report) {
    let mut by_key: BTreeMap<&str, Vec<&Way<'_>>> = BTreeMap::new();
    for way in ways.all.iter().filter(|way| !way.hopped() && way.ending() != Some(Ending::Duplicate)) {
        by_key.entry(&way.sent.key).or_default().push(way);
    }
    for ways in by_key.values_mut() {
        // Not by place: a topic that has grown has a key's earlier events in another partition.
        ways.sort_by_key(|way| way.sent.sequence);
        let mut before: Option<(&Way<'_>, i64)> = None;
        for way in ways.iter() {
            let Some((started, ended)) = run_of(way) else { continue };
            match before {
                Some((earlier, until)) if started + CLOCK_TOLERANCE_MS < until => {
                    report.add(Harm::Reordered, || {
                        format!(
                            "started {} ms before {} had ended: {}",
                            until - started,
                            earlier.describe(),
                            way.describe()
                        )
                    });
                }
                _ => before = Some((way, ended)),
            }
        }
    }
}

/// When the attempt that ended it ran, where one did.
fn run_of(way: &Way<'_>) -> Option<(i64, i64)> {
    let last = way.outcomes.iter().find(|outcome| outcome.ending().is_some())?;
    Some((last.started_ms?, last.ended_ms))
}
