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
///
/// What is repeated is repeated from an earlier position on, and of its first run only some outcomes may be there to see (at
/// least once: those in other partitions of the audit topic were not written before the end of their replica). So the last run
/// of a record is asked whether it began after the first one that is known of the record before it.
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
            let Some(runs) = Runs::of(way) else { continue };
            match before {
                Some((earlier, until)) if runs.last_started + CLOCK_TOLERANCE_MS < until => {
                    report.add(Harm::Reordered, || {
                        format!(
                            "started {} ms before {} had ended: {}",
                            until - runs.last_started,
                            earlier.describe(),
                            way.describe()
                        )
                    });
                }
                _ => before = Some((way, runs.first_ended)),
            }
        }
    }
}

/// When the attempts that ended a record ran; more than one only if it was repeated.
struct Runs {
    first_ended: i64,
    last_started: i64,
}

impl Runs {
    fn of(way: &Way<'_>) -> Option<Self> {
        let ends = || way.outcomes.iter().filter(|outcome| outcome.ending().is_some() && outcome.started_ms.is_some());
        let first_ended = ends().map(|outcome| outcome.ended_ms).min()?;
        let last_started = ends().filter_map(|outcome| outcome.started_ms).max()?;
        Some(Self { first_ended, last_started })
    }
}
