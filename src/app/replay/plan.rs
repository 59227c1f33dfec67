//! Which recorded events a replay is of.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

use crate::dispatch::{Judged, Selection};
use crate::event::{Event, Offset, Record, TopicPartition};
use crate::kafka::scan::{Progress, Reader, Stretch, Wanted};
use crate::schema::Codec;

/// Events of one replay: the offsets, and later the outcomes, of all of them are held in memory.
pub const MAX_EVENTS: usize = 500_000;
/// Events that a dry run names.
const MAX_LISTED: usize = 100;
/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 1_000;

/// The events that are meant, by their places.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub stretches: Vec<Stretch>,
    /// By topic, partition and type.
    pub groups: Vec<Group>,
    /// The first of them.
    pub listed: Vec<Listed>,
    /// Events about which the filter could not be asked: how many, and what the first one's trouble is. They are not meant.
    pub undecided: u64,
    pub trouble: Option<String>,
    /// Rising offsets.
    chosen: BTreeMap<TopicPartition, Vec<i64>>,
    oldest_ms: Option<i64>,
}

/// Events of one type in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub topic: String,
    pub partition: i32,
    /// `None` for records that are no events.
    pub event_type: Option<String>,
    pub events: u64,
    pub first_offset: i64,
    pub last_offset: i64,
    /// When they were written, in milliseconds since the Unix epoch.
    pub first_ms: Option<i64>,
    pub last_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub event_type: Option<String>,
    pub id: Option<String>,
}

impl Plan {
    /// Reads what is wanted and judges it.
    ///
    /// # Errors
    /// The topics cannot be read, the schema registry does not answer, or more than [`MAX_EVENTS`] are meant.
    pub async fn make(
        reader: &Reader,
        wanted: Wanted,
        selection: &Selection,
        codec: &Codec,
        progress: impl Fn(Progress),
    ) -> anyhow::Result<Self> {
        let mut plan = Self { stretches: reader.resolve(wanted).await?, ..Self::default() };
        let mut records = reader.read(&plan.stretches)?;
        let mut groups = BTreeMap::new();
        let (mut seen, mut count) = (0u64, 0);
        while let Some(record) = records.next().await? {
            seen += 1;
            if seen.is_multiple_of(PROGRESS_EVERY) {
                progress(records.progress());
            }
            let place = || format!("{}@{}", record.topic_partition(), record.offset());
            match selection
                .judge(&record, codec)
                .await
                .with_context(|| format!("--filter cannot be asked of {}", place()))?
            {
                Judged::Wanted => {
                    count += 1;
                    anyhow::ensure!(
                        count <= MAX_EVENTS,
                        "more than {MAX_EVENTS} events are meant: narrow the range with --from and --to"
                    );
                    plan.choose(&record, &mut groups);
                }
                Judged::Unwanted => {}
                Judged::Undecided(failure) => {
                    plan.undecided += 1;
                    plan.trouble.get_or_insert_with(|| format!("{}: {failure}", place()));
                }
            }
        }
        plan.groups = groups.into_values().collect();
        Ok(plan)
    }

    /// How many events are meant.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chosen.values().map(Vec::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Whether the record at this place is meant.
    #[must_use]
    pub fn takes(&self, source: &TopicPartition, offset: Offset) -> bool {
        self.chosen.get(source).is_some_and(|offsets| offsets.binary_search(&offset.0).is_ok())
    }

    /// The places of all events that are meant.
    pub fn places(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.chosen.iter().flat_map(|(source, offsets)| offsets.iter().map(move |offset| (source, *offset)))
    }

    /// When the oldest of them was written, in milliseconds since the Unix epoch, as far as they say.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        self.oldest_ms
    }

    fn choose(&mut self, record: &Record, groups: &mut BTreeMap<(TopicPartition, Option<String>), Group>) {
        let event = Event::parse(record.clone()).ok();
        let event_type = event.as_ref().map(|event| event.event_type().to_owned());
        let (offset, written_ms) = (record.offset().0, record.timestamp_ms());
        let source = record.topic_partition();
        self.oldest_ms = self.oldest_ms.into_iter().chain(written_ms).min();
        let (topic, partition) = (source.topic.to_string(), source.partition);
        let group = groups.entry((source.clone(), event_type.clone())).or_insert_with(|| Group {
            topic: topic.clone(),
            partition,
            event_type: event_type.clone(),
            events: 0,
            first_offset: offset,
            last_offset: offset,
            first_ms: written_ms,
            last_ms: written_ms,
        });
        group.events += 1;
        (group.last_offset, group.last_ms) = (offset, written_ms);
        if self.listed.len() < MAX_LISTED {
            let id = event.map(|event| event.id().to_owned());
            self.listed.push(Listed { topic, partition, offset, event_type, id });
        }
        self.chosen.entry(source).or_default().push(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RecordBuilder;

    fn plan_of(offsets: &[i64]) -> Plan {
        let (mut plan, mut groups) = (Plan::default(), BTreeMap::new());
        for &offset in offsets {
            let mut builder = RecordBuilder::new(None, Some(b"{}"), 64);
            for (name, value) in [("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "git.push")] {
                builder.header(name.as_bytes(), Some(value.as_bytes()));
            }
            let record = builder.build("t".into(), 0, Offset(offset), Some(1_000 + offset));
            plan.choose(&record, &mut groups);
        }
        plan.groups = groups.into_values().collect();
        plan
    }

    #[test]
    fn a_plan_knows_places_and_extent() {
        let plan = plan_of(&[3, 5, 8]);
        let source = TopicPartition { topic: "t".into(), partition: 0 };
        assert!(plan.takes(&source, Offset(5)) && !plan.takes(&source, Offset(4)));
        assert!(!plan.takes(&TopicPartition { partition: 1, ..source }, Offset(5)));
        assert_eq!((plan.len(), plan.oldest_ms()), (3, Some(1_003)));
        let group = &plan.groups[0];
        assert_eq!((group.events, group.first_offset, group.last_offset), (3, 3, 8));
        assert_eq!(group.event_type.as_deref(), Some("git.push"));
    }
}
