//! Outcomes that are there already: whoever is about to give up waiting for them looks first.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::order::{Cluster, Heard};
use super::redrive::RedriveError;
use super::watch::decoded;
use super::{LetterId, States};
use crate::bitt::outcome_key;
use crate::kafka::scan::{Stretch, Wanted};
use crate::schema::Payload as _;
use crate::schema::payloads::{Outcome, Place};

/// Reads the audit topic up to now, from where the outcomes of what is under way can be, and gives those of this group that are
/// final, by letter. What another group made of a record, such as an isolated replay, is no outcome of its redrive.
///
/// # Errors
/// The topic cannot be read, or nothing of it decoded.
pub(super) async fn outcomes(
    cluster: &Cluster,
    states: &States,
    group: &str,
    heard: &mut impl FnMut(Heard),
) -> Result<Vec<(LetterId, Outcome<'static>)>, RedriveError> {
    let awaited: BTreeMap<Place<'static>, LetterId> =
        states.under_way().map(|(letter, _, place)| (place.clone(), letter.clone())).collect();
    let keys: Vec<Bytes> =
        states.under_way().map(|(_, state, place)| outcome_key(state.event_id.as_deref(), place)).collect();
    let keys: BTreeSet<&[u8]> = keys.iter().map(|key| &**key).collect();
    let mut found = Vec::new();
    let mut records = cluster.reader.read(&stretches(cluster, states).await?)?;
    while let Some(record) = records.next().await? {
        let is_outcome = record.headers().text("ce_type") == Some(<Outcome<'static>>::EVENT_TYPE);
        if !is_outcome || !record.key().is_some_and(|key| keys.contains(key)) {
            continue;
        }
        let place = LetterId::of(&record).place();
        match decoded(&cluster.codec, place, record.value().unwrap_or_default()).await? {
            Ok(outcome) if outcome.group != group || outcome.outcome.is_retried() => {}
            Ok(outcome) => {
                if let Some(letter) = awaited.get(&outcome.first_place()) {
                    found.push((letter.clone(), outcome));
                }
            }
            Err(rubbish) => heard(rubbish.said()),
        }
    }
    Ok(found)
}

/// The topic's states for somebody who only asks, with the outcomes of `group` that are there already, if one is named.
///
/// # Errors
/// See [`RedriveError`].
pub(super) async fn states_now(
    cluster: &Cluster,
    topic: &str,
    group: Option<&str>,
    heard: &mut impl FnMut(Heard),
) -> Result<States, RedriveError> {
    let mut states = States::read(&cluster.reader, &cluster.codec, &BTreeSet::from([topic.to_owned()])).await?;
    if let Some(group) = group {
        for (letter, outcome) in outcomes(cluster, &states, group, heard).await? {
            states.settle(&letter, &outcome);
        }
    }
    Ok(states)
}

/// Behind the audit records of what is under way, as far as retention has left it.
pub(super) async fn stretches(cluster: &Cluster, states: &States) -> Result<Vec<Stretch>, RedriveError> {
    let mut first: BTreeMap<i32, i64> = BTreeMap::new();
    for audit in states.under_way().filter_map(|(_, state, _)| state.audit.as_ref()) {
        let behind = first.entry(audit.partition).or_insert(audit.offset + 1);
        *behind = (*behind).min(audit.offset + 1);
    }
    let mut all = cluster.reader.resolve(Wanted::all(cluster.audit_topic)).await?;
    for stretch in &mut all {
        let from = first.get(&stretch.source.partition).copied().unwrap_or(i64::MAX);
        stretch.from.0 = from.clamp(stretch.from.0, stretch.to.0);
    }
    Ok(all)
}
