//! Nothing of an owner that has been succeeded: epochs of a partition only rise, in the audit topic and in rows.

use std::collections::BTreeMap;

use super::{Evidence, Harm, Report, Row};

pub(super) fn check(evidence: &Evidence, report: &mut Report) {
    let mut outcomes: Vec<_> = evidence.outcomes.iter().collect();
    outcomes.sort_by_key(|outcome| outcome.at);
    // What a successor wrote stands behind everything that its predecessor could still commit.
    let mut highest: BTreeMap<(i32, &str, i32), i64> = BTreeMap::new();
    for outcome in outcomes {
        let place = &outcome.place;
        let known = highest.entry((outcome.at.0, &place.topic, place.partition)).or_insert(outcome.epoch);
        if outcome.epoch < *known {
            let (at, epoch, known) = (outcome.at, outcome.epoch, *known);
            report.add(Harm::OldEpochWrites, || {
                format!("{} of {place} at {}/{} under epoch {epoch}, after {known}", outcome.kind, at.0, at.1)
            });
        }
        *known = outcome.epoch.max(*known);
    }
    let mut rows: Vec<_> = evidence.rows.iter().collect();
    rows.sort_by_key(|row| (&row.key, row.version));
    let mut before: Option<&Row> = None;
    for row in rows {
        let same_key = before.filter(|before| before.key == row.key);
        let expected = same_key.map_or(1, |before| before.count + 1);
        if same_key.is_some_and(|before| row.epoch < before.epoch) || row.count != expected {
            let Row { key, version, cause, count, epoch, .. } = row;
            report.add(Harm::OldEpochWrites, || {
                let after = same_key.map(|before| before.epoch);
                format!(
                    "{key} version {version} by {cause}: epoch {epoch} after {after:?}, count {count} for {expected}"
                )
            });
        }
        before = Some(row);
    }
}
