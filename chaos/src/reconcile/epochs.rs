//! Nothing of an owner that has been succeeded: of each key the epochs only rise from row to row while it is in one partition,
//! and each writer knew of the row before its own. (Outcome records cannot be asked: their epoch is the replica's own count.)

use super::{Evidence, Harm, Report, Row};

pub(super) fn check(evidence: &Evidence, report: &mut Report) {
    let mut rows: Vec<_> = evidence.rows.iter().collect();
    rows.sort_by_key(|row| (&row.key, row.version));
    let mut before: Option<&Row> = None;
    for row in rows {
        let same_key = before.filter(|before| before.key == row.key);
        let expected = same_key.map_or(1, |before| before.count + 1);
        let succeeded = |before: &Row| row.partition == before.partition && row.epoch < before.epoch;
        if same_key.is_some_and(succeeded) || row.count != expected {
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
