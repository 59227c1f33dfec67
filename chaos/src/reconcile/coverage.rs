//! Receipts: whatever was handled or passed was said to be seen, by offset and, if it is an event, by id.

use std::collections::{BTreeMap, BTreeSet};

use super::way::Ways;
use super::{Evidence, Harm, Place, Report};

pub(super) fn check(evidence: &Evidence, ways: &Ways<'_>, report: &mut Report) {
    let mut open: BTreeMap<Place, Option<&str>> = BTreeMap::new();
    for way in &ways.all {
        for place in &way.places {
            let said = way.outcomes.iter().any(|outcome| outcome.place == **place);
            let passed = evidence.positions.iter().any(|position| {
                position.topic == place.topic && position.partition == place.partition && position.passes(place.offset)
            });
            if said || passed {
                open.insert((*place).clone(), way.sent.id.as_deref());
            }
        }
    }
    for receipt in &evidence.receipts {
        let ids: BTreeSet<&str> = receipt.ids.iter().map(String::as_str).collect();
        let at = |offset| Place { topic: receipt.topic.clone(), partition: receipt.partition, offset };
        let covered: Vec<Place> = open
            .range(at(receipt.offsets.start)..at(receipt.offsets.end))
            .filter(|(_, id)| id.is_none_or(|id| ids.contains(id)))
            .map(|(place, _)| place.clone())
            .collect();
        for place in covered {
            open.remove(&place);
        }
    }
    for (place, id) in open {
        report.add(Harm::AuditGaps, || format!("no receipt covers {place} ({})", id.unwrap_or("no event")));
    }
}
