//! How a unit of work is written, whatever the database: the order of checks, locks and writes.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Committed, EntryChange, Fence, InboxKey, NewNotice, Position, RunChange, StoreError, UnitOfWork};

/// Most changes that one statement writes. A larger unit of work takes several within its transaction.
pub(super) const WAVE: usize = 1_000;

/// What a registry entry is before a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The last version; 0 if there never was one. A deleted entry keeps its version.
    pub(super) version: i64,
    pub(super) present: bool,
    /// Where the last change came from, a deletion too.
    pub(super) position: Option<Position>,
}

impl State {
    /// What [`EntryChange::expected_version`] is compared with.
    const fn visible_version(&self) -> i64 {
        if self.present { self.version } else { 0 }
    }

    /// Whether the change comes from before what is there.
    fn is_newer_than(&self, change: &EntryChange) -> bool {
        matches!((&self.position, &change.position), (Some(stored), Some(new)) if stored.is_after(new))
    }
}

/// An open transaction of one of the databases. Dropping it rolls back.
#[async_trait]
pub(super) trait Transaction: Send {
    /// The owner row's epoch, held until the end of the transaction so that no claim slips in between.
    async fn owner_epoch(&mut self, fence: &Fence) -> Result<Option<i64>, sqlx::Error>;

    /// False if the row is there already (waits for a concurrent transaction that is writing it).
    async fn insert_inbox(&mut self, key: &InboxKey, result: &[u8]) -> Result<bool, sqlx::Error>;

    async fn inbox(&mut self, key: &InboxKey) -> Result<Option<Bytes>, sqlx::Error>;

    /// The entries' states, in the order of `changes`, held against other writers.
    async fn states(&mut self, changes: &[&EntryChange]) -> Result<Vec<State>, sqlx::Error>;

    /// Writes a run of the group; false if it is not as it was read.
    async fn write_run(&mut self, group: &str, change: &RunChange) -> Result<bool, sqlx::Error>;

    /// Writes what a channel is told; false if it was told the same meanwhile.
    async fn write_notice(&mut self, group: &str, notice: &NewNotice) -> Result<bool, sqlx::Error>;

    /// Writes entries and their history; new versions in the order of `changes`, which name each entry once.
    async fn write(&mut self, changes: &[&EntryChange], by: &InboxKey) -> Result<Vec<i64>, sqlx::Error>;
}

/// Either an answer or a database error, which the caller maps.
pub(super) enum Refusal {
    Contract(StoreError),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Checks the fence, writes the inbox row, then the run, the notices and the changes. The caller commits on `Written` and rolls back otherwise.
pub(super) async fn run(transaction: &mut dyn Transaction, work: &UnitOfWork) -> Result<Committed, Refusal> {
    let fence = &work.fence;
    let current = transaction.owner_epoch(fence).await?.unwrap_or(0);
    if current != fence.epoch {
        let (topic, partition, held) = (fence.topic.clone(), fence.partition, fence.epoch);
        return Err(Refusal::Contract(StoreError::Fenced { topic, partition, held, current }));
    }
    if !transaction.insert_inbox(&work.inbox, &work.result).await? {
        let stored = transaction.inbox(&work.inbox).await?.ok_or_else(|| {
            let message = format!("inbox row of event {} vanished while it was read", work.inbox.id);
            Refusal::Contract(StoreError::Conflict(message))
        })?;
        return Ok(Committed::Already(stored));
    }
    if let Some(change) = &work.run
        && !transaction.write_run(&work.inbox.group, change).await?
    {
        let message = format!("run {} was changed by another transaction meanwhile", change.run.workflow_id);
        return Err(Refusal::Contract(StoreError::Conflict(message)));
    }
    for notice in &work.notices {
        if !transaction.write_notice(&work.inbox.group, notice).await? {
            let message = format!("channel {} was told the same by another transaction meanwhile", notice.channel);
            return Err(Refusal::Contract(StoreError::Conflict(message)));
        }
    }
    let mut versions = vec![0; work.changes.len()];
    for wave in waves(&work.changes) {
        let changes: Vec<&EntryChange> = wave.iter().map(|index| &work.changes[*index]).collect();
        for (index, version) in wave.iter().zip(apply(transaction, &changes, &work.inbox).await?) {
            versions[*index] = version;
        }
    }
    Ok(Committed::Written(versions))
}

async fn apply(
    transaction: &mut dyn Transaction,
    changes: &[&EntryChange],
    by: &InboxKey,
) -> Result<Vec<i64>, Refusal> {
    let states = transaction.states(changes).await?;
    let mut versions: Vec<i64> = states.iter().map(|state| state.version).collect();
    let mut writing = Vec::with_capacity(changes.len());
    for (index, (change, state)) in changes.iter().zip(&states).enumerate() {
        if change.expected_version.is_some_and(|expected| expected != state.visible_version()) {
            return Err(conflict(change, change.expected_version, state.visible_version()));
        }
        if change.follows.is_some_and(|last| last != state.version) {
            return Err(conflict(change, change.follows, state.version));
        }
        // Deleting what is not there changes nothing, but that an earlier event must not make it now.
        let changes = change.data.is_some() || state.present || change.position.is_some();
        if changes && !state.is_newer_than(change) {
            writing.push(index);
        }
    }
    let to_write: Vec<&EntryChange> = writing.iter().map(|index| changes[*index]).collect();
    let written = transaction.write(&to_write, by).await?;
    for (index, version) in writing.into_iter().zip(written) {
        // A row that did not exist could not be held: another transaction may have made it meanwhile.
        let raced = version != states[index].version + 1;
        let expected = changes[index].expected_version.or(changes[index].follows);
        if raced && expected.is_some() {
            return Err(conflict(changes[index], expected, version - 1));
        }
        if raced && changes[index].position.is_some() {
            let EntryChange { registry, entry, .. } = changes[index];
            let message = format!("{registry}/{entry} was made by another transaction meanwhile");
            return Err(Refusal::Contract(StoreError::Conflict(message)));
        }
        versions[index] = version;
    }
    Ok(versions)
}

fn conflict(change: &EntryChange, expected: Option<i64>, current: i64) -> Refusal {
    Refusal::Contract(StoreError::VersionConflict {
        registry: change.registry.clone(),
        entry: change.entry.clone(),
        expected: expected.unwrap_or_default(),
        current,
    })
}

/// Indices of the changes, in groups that name each entry at most once (what one upsert statement can write). Sorted by
/// entry, so that two transactions take their locks in the same order; changes of one entry stay in their order.
fn waves(changes: &[EntryChange]) -> Vec<Vec<usize>> {
    let mut by_round: Vec<Vec<usize>> = Vec::new();
    let mut seen: HashMap<(&str, &str), usize> = HashMap::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let round = seen.entry((&change.registry, &change.entry)).or_default();
        if by_round.len() == *round {
            by_round.push(Vec::new());
        }
        by_round[*round].push(index);
        *round += 1;
    }
    for round in &mut by_round {
        round.sort_by_key(|index| (&changes[*index].registry, &changes[*index].entry));
    }
    by_round.iter().flat_map(|round| round.chunks(WAVE).map(<[usize]>::to_vec)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(entry: &str) -> EntryChange {
        EntryChange {
            registry: "r".into(),
            entry: entry.into(),
            data: None,
            utids: None,
            principal: None,
            expected_version: None,
            follows: None,
            position: None,
        }
    }

    #[test]
    fn a_wave_names_each_entry_once_and_is_sorted() {
        let changes: Vec<_> = ["b", "a", "b", "c", "b"].into_iter().map(change).collect();
        assert_eq!(waves(&changes), vec![vec![1, 0, 3], vec![2], vec![4]]);
        assert!(waves(&[]).is_empty());
    }

    #[test]
    fn a_large_unit_of_work_is_cut() {
        let changes: Vec<_> = (0..2 * WAVE + 1).map(|n| change(&format!("{n:05}"))).collect();
        assert_eq!(waves(&changes).iter().map(Vec::len).collect::<Vec<_>>(), [WAVE, WAVE, 1]);
    }
}
