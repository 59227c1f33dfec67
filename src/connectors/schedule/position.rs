//! The standings of schedules as parts of their source's offsets.

use std::collections::BTreeMap;

use super::error::ScheduleError;
use super::ledger::LookError;
use super::settings::ScheduleSettings;
use crate::connectors::Parts;
use crate::kafka::scan::{Reader, Wanted};
use crate::schedule::{Name, Standing};
use crate::schema::payloads::SourceOffset;

/// By schedule, those that are not configured any more too.
pub(super) type Standings = BTreeMap<Name, Standing>;

/// What stands before a name; the claim of the source is a part as well.
const PREFIX: &str = "schedule/";

/// The part that a schedule's standing is in.
pub(super) fn part(name: &Name) -> String {
    format!("{PREFIX}{name}")
}

/// # Errors
/// A standing that cannot be read: going on without it would fire twice, or not at all.
pub(super) fn standings(parts: &Parts) -> Result<Standings, ScheduleError> {
    let mut standings = Standings::new();
    for (part, value) in parts {
        let Some(name) = part.strip_prefix(PREFIX).and_then(|name| name.parse::<Name>().ok()) else { continue };
        match Standing::read(value) {
            Ok(standing) => drop(standings.insert(name, standing)),
            Err(source) => return Err(ScheduleError::Standing { name, source }),
        }
    }
    Ok(standings)
}

/// What is committed now, without taking the source over. Empty where nothing was ever published.
///
/// # Errors
/// The topic or the registry cannot be read.
pub async fn positions(reader: &Reader, settings: &ScheduleSettings) -> Result<Standings, LookError> {
    let (topic, source) = (&settings.publisher.offsets_topic, settings.source());
    let partition = source.partition(reader.partitions(topic).await?);
    let stretches = reader.resolve(Wanted { partitions: [partition].into(), ..Wanted::all(topic) }).await?;
    let mut records = reader.read(&stretches)?;
    let mut newest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while let Some(record) = records.next().await? {
        let Some(part) = record.key().and_then(|key| source.part_of_key(key)) else { continue };
        match record.value() {
            Some(value) => drop(newest.insert(part.to_owned(), value.to_vec())),
            None => drop(newest.remove(part)),
        }
    }
    let mut parts = Parts::new();
    for (part, value) in newest {
        let offset: SourceOffset = settings.codec.decode_avro(&value).await?;
        parts.insert(part, serde_json::from_str(&offset.offset).unwrap_or_default());
    }
    Ok(standings(&parts)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn standings_are_told_from_other_parts() {
        let standing = json!({"v": 1, "timetable": "every 1s", "decided_to": "2026-01-01T00:00:00Z"});
        let mut parts = Parts::from([(part(&"owner".parse().unwrap()), standing), ("owner".into(), json!({"v": 1}))]);
        let read = standings(&parts).unwrap();
        assert_eq!(read.keys().map(Name::as_str).collect::<Vec<_>>(), ["owner"]);
        parts.insert("schedule/b".into(), json!({"v": 2}));
        assert!(standings(&parts).unwrap_err().to_string().starts_with("schedule b: "));
    }
}
