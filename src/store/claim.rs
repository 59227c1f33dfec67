//! Claims of partitions: what the two databases share.

use std::collections::BTreeMap;

use super::{Fence, StoreError};

/// Each partition once, with the highest `at_least` asked for: one upsert cannot write a row twice. Sorted.
pub(super) fn distinct(partitions: &[(String, i32, i64)]) -> BTreeMap<(&str, i32), i64> {
    let mut distinct = BTreeMap::new();
    for (topic, partition, at_least) in partitions {
        let highest = distinct.entry((topic.as_str(), *partition)).or_insert(*at_least);
        *highest = (*highest).max(*at_least);
    }
    distinct
}

/// The claimed epochs in the order in which the partitions were given.
pub(super) fn in_order(
    group: &str,
    partitions: &[(String, i32, i64)],
    rows: Vec<(String, i32, i64)>,
) -> Result<Vec<Fence>, StoreError> {
    let epochs: BTreeMap<(String, i32), i64> = rows.into_iter().map(|(t, p, epoch)| ((t, p), epoch)).collect();
    let fence = |(topic, partition, _): &(String, i32, i64)| {
        let epoch = epochs.get(&(topic.clone(), *partition)).copied();
        let epoch = epoch.ok_or_else(|| StoreError::Other(format!("claim of {topic}[{partition}] gave no epoch")))?;
        Ok(Fence { group: group.to_owned(), topic: topic.clone(), partition: *partition, epoch })
    };
    partitions.iter().map(fence).collect()
}
