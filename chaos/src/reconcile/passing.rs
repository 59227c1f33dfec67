//! Positions that went past a record, or an offset map that named it as resolved, without an outcome: at the end, and at any
//! time at which somebody looked.

use std::collections::{BTreeMap, BTreeSet};

use super::way::{Way, Ways};
use super::{Evidence, Harm, Place, Position, Report};

/// A topic's partitions, as keys.
type Partition<'e> = (&'e str, i32);

pub(super) fn check(evidence: &Evidence, ways: &Ways<'_>, report: &mut Report) {
    let mut records: BTreeMap<Partition<'_>, Vec<(&Place, &Way<'_>)>> = BTreeMap::new();
    for way in &ways.all {
        for place in &way.places {
            records.entry((&place.topic, place.partition)).or_default().push((place, way));
        }
    }
    let mut found: BTreeSet<&Place> = BTreeSet::new();
    let mut passed = |position: &Position, left: &dyn Fn(&Place, &Way<'_>) -> bool| {
        let of_partition = records.get(&(position.topic.as_str(), position.partition));
        for (place, way) in of_partition.into_iter().flatten() {
            if position.passes(place.offset) && !left(place, way) && found.insert(place) {
                let committed = position.committed;
                report.add(Harm::PassedUnresolved, || format!("{place}, position {committed}: {}", way.describe()));
            }
        }
    };
    for position in &evidence.positions {
        passed(position, &|place, way| way.outcomes.iter().any(|said| said.place == *place && said.leaves()));
    }
    let mut seen: BTreeMap<&Place, usize> = BTreeMap::new();
    for (number, place) in evidence.left.iter().enumerate() {
        seen.entry(place).or_insert(number);
    }
    for snapshot in &evidence.snapshots {
        for position in &snapshot.positions {
            passed(position, &|place, _| seen.get(place).is_some_and(|number| *number < snapshot.left));
        }
    }
}
