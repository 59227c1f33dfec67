//! Outcomes a page at a time, over all of `coafi.bitt.records`: what was written when the first page was asked for, each
//! record on exactly one page, whatever is written meanwhile.
//!
//! There is no index: a page looks at records until it has enough, or has looked at [`SCANNED_MAX`] of them or at
//! [`SCANNED_BYTES_MAX`], or for [`PAGE_TIME`]; it may have none and still not be the last.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::TrailError;
use crate::engine::Class;
use crate::event::{NextOffset, Record, TopicPartition};
use crate::kafka::scan::{Bound, Reader, ScanError, Stretch, Wanted};
use crate::schema::payloads::{Outcome, OutcomeKind};
use crate::schema::{Codec, Payload as _};

/// Records that one page looks at.
const SCANNED_MAX: usize = 20_000;
/// Of their values.
const SCANNED_BYTES_MAX: usize = 16 << 20;
/// How long a page looks for what it has not found.
const PAGE_TIME: Duration = Duration::from_secs(5);

/// Which outcomes are looked for: all that it says holds of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeFilter {
    pub event_type: Option<String>,
    /// CloudEvents `source`.
    pub source: Option<String>,
    /// They ended at this time or later.
    pub since: Option<jiff::Timestamp>,
    /// One of the handlers that ran.
    pub handler: Option<String>,
    pub outcome: Option<OutcomeKind>,
}

/// Partitions with where the next page begins in them and where the last one ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread(Vec<(i32, i64, i64)>);

#[derive(Debug)]
pub struct OutcomesPage {
    pub outcomes: Vec<Outcome<'static>>,
    /// `None` after the last page.
    pub next: Option<Unread>,
}

/// Where outcomes are read from.
#[derive(Clone, Debug)]
pub struct OutcomePages {
    reader: Reader,
    topic: String,
    codec: Codec,
}

impl OutcomePages {
    #[must_use]
    pub fn new(reader: Reader, topic: &str, codec: Codec) -> Self {
        Self { reader, topic: topic.to_owned(), codec }
    }

    /// At most `limit` outcomes: of the first page where there is no place.
    ///
    /// # Errors
    /// See [`TrailError`]; one is that retention has passed the place.
    pub async fn page(
        &self,
        filter: &OutcomeFilter,
        place: Option<Unread>,
        limit: usize,
    ) -> Result<OutcomesPage, TrailError> {
        let until = Instant::now() + PAGE_TIME;
        let mut unread = self.unread(filter, place).await?;
        let mut records = self.reader.read(&self.stretches(&unread))?;
        let (mut outcomes, mut scanned, mut bytes) = (Vec::new(), 0, 0);
        while outcomes.len() < limit && scanned < SCANNED_MAX && bytes < SCANNED_BYTES_MAX {
            let record = match tokio::time::timeout_at(until, records.next()).await {
                Ok(record) => record?,
                // What was not reached is for the next page.
                Err(_) if scanned > 0 => break,
                // The brokers give nothing; they are waited for as long as by any reader.
                Err(_) => records.next().await?,
            };
            let Some(record) = record else { return Ok(OutcomesPage { outcomes, next: None }) };
            scanned += 1;
            bytes += record.value().map_or(0, <[u8]>::len);
            unread.insert(record.partition(), (record.offset().0 + 1, unread[&record.partition()].1));
            if let Some(outcome) = self.outcome(&record).await?.filter(|outcome| filter.takes(outcome)) {
                outcomes.push(outcome);
            }
        }
        let left = unread.into_iter().filter(|(_, (next, end))| next < end);
        let left: Vec<_> = left.map(|(partition, (next, end))| (partition, next, end)).collect();
        Ok(OutcomesPage { outcomes, next: (!left.is_empty()).then_some(Unread(left)) })
    }

    /// By partition: the next offset, and the end.
    async fn unread(
        &self,
        filter: &OutcomeFilter,
        place: Option<Unread>,
    ) -> Result<BTreeMap<i32, (i64, i64)>, TrailError> {
        let from = match place {
            Some(_) => Bound::Beginning,
            None => filter.since.map_or(Bound::Beginning, Bound::Time),
        };
        let found = self.reader.resolve(Wanted { from, ..Wanted::all(&self.topic) }).await?;
        let Some(Unread(place)) = place else {
            return Ok(found.into_iter().map(|found| (found.source.partition, (found.from.0, found.to.0))).collect());
        };
        let mut unread = BTreeMap::new();
        for (partition, next, end) in place {
            let there = found.iter().find(|found| found.source.partition == partition);
            // Retention has come so far, or the topic is another one by now.
            let is_there = there.is_some_and(|there| there.from.0 <= next && next <= end && end <= there.to.0);
            if !is_there {
                return Err(ScanError::Overtaken { topic: self.topic.clone() }.into());
            }
            unread.insert(partition, (next, end));
        }
        Ok(unread)
    }

    fn stretches(&self, unread: &BTreeMap<i32, (i64, i64)>) -> Vec<Stretch> {
        let topic: std::sync::Arc<str> = self.topic.as_str().into();
        let stretch = |(&partition, &(from, to)): (&i32, &(i64, i64))| Stretch {
            source: TopicPartition { topic: std::sync::Arc::clone(&topic), partition },
            from: NextOffset(from),
            to: NextOffset(to.max(from)),
        };
        unread.iter().map(stretch).collect()
    }

    /// `None` of what is no outcome, or none that can be read: somebody else wrote it.
    async fn outcome(&self, record: &Record) -> Result<Option<Outcome<'static>>, TrailError> {
        if record.headers().text("ce_type") != Some(<Outcome<'static>>::EVENT_TYPE) {
            return Ok(None);
        }
        match self.codec.decode_avro(record.value().unwrap_or_default()).await {
            Ok(outcome) => Ok(Some(outcome)),
            Err(failure) if matches!(failure.class, Class::Systemic(_)) => {
                Err(TrailError::Undecodable { topic: self.topic.clone(), failure })
            }
            Err(failure) => {
                tracing::warn!(%failure, partition = record.partition(), offset = record.offset().0, "no audit record");
                Ok(None)
            }
        }
    }
}

impl OutcomeFilter {
    fn takes(&self, outcome: &Outcome<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        is(&self.event_type, outcome.event_type.as_deref())
            && is(&self.source, outcome.source.as_deref())
            && self.since.is_none_or(|since| outcome.ended_at >= since.as_millisecond())
            && self.handler.as_ref().is_none_or(|wanted| outcome.handlers.iter().any(|ran| ran == wanted))
            && self.outcome.is_none_or(|wanted| wanted == outcome.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::sample;

    #[test]
    fn everything_that_a_filter_says_has_to_hold() {
        let outcome = sample::outcome();
        let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(str::to_owned);
        let all = OutcomeFilter {
            event_type: text(&outcome.event_type),
            source: text(&outcome.source),
            since: jiff::Timestamp::from_millisecond(outcome.ended_at).ok(),
            handler: outcome.handlers.first().map(ToString::to_string),
            outcome: Some(outcome.outcome),
        };
        assert!(all.takes(&outcome) && OutcomeFilter::default().takes(&outcome));
        let other = || Some("another".to_owned());
        for refused in [
            OutcomeFilter { event_type: other(), ..all.clone() },
            OutcomeFilter { source: other(), ..all.clone() },
            OutcomeFilter { handler: other(), ..all.clone() },
            OutcomeFilter { outcome: Some(OutcomeKind::Lost), ..all.clone() },
            OutcomeFilter { since: jiff::Timestamp::from_millisecond(outcome.ended_at + 1).ok(), ..all },
        ] {
            assert!(!refused.takes(&outcome), "{refused:?}");
        }
    }
}
