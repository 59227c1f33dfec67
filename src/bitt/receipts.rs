//! Receipts: a replica has polled these offsets. Split so that none exceeds [`super::MAX_RECEIPT_BYTES`].

use std::borrow::Cow;

use super::{Audit, MAX_RECEIPT_BYTES, bounds};
use crate::event::{NextOffset, Offset, Outgoing, TopicPartition};
use crate::schema::payloads::Receipt;

/// What everything but the ids takes at most.
const FIXED_BYTES: usize = 2_048;
/// An Avro string's length takes at most this for a bounded id.
const LENGTH_BYTES: usize = 2;

/// Records of one partition that were polled together.
#[derive(Clone, Debug)]
pub struct Polled<'a> {
    pub source: &'a TopicPartition,
    pub epoch: i64,
    /// First offset covered, gaps included.
    pub from: NextOffset,
    /// Position after the last one.
    pub to: NextOffset,
    /// Milliseconds since the Unix epoch.
    pub received_ms: i64,
    /// Offset and CloudEvents id of each record that is an event, in offset order.
    pub events: Vec<(Offset, &'a str)>,
}

impl Audit {
    /// At least one record. Each part covers a range of its own; together they cover the batch.
    #[must_use]
    pub fn receipts_of(&self, polled: &Polled<'_>) -> Vec<Outgoing> {
        let parts = split(polled);
        let count = i32::try_from(parts.len()).expect("a batch is bounded");
        let starts = parts.iter().map(|part| part.from);
        let ends = starts.skip(1).chain([polled.to]);
        let numbered = (1..).zip(parts.iter().zip(ends));
        numbered.map(|(number, (part, to))| self.receipt(&self.part(polled, part, to, number, count))).collect()
    }

    fn part<'a>(
        &'a self,
        polled: &'a Polled<'_>,
        part: &Part<'a>,
        to: NextOffset,
        number: i32,
        parts: i32,
    ) -> Receipt<'a> {
        Receipt {
            cluster_id: Cow::Borrowed(&self.writer().cluster_id),
            topic_id: Cow::Borrowed(self.topic_id(&polled.source.topic)),
            topic: Cow::Borrowed(&polled.source.topic),
            partition: polled.source.partition,
            from_offset: part.from.0,
            to_offset: to.0,
            event_ids: part.ids.clone(),
            part: number,
            parts,
            group: Cow::Borrowed(&self.writer().group),
            worker_id: Cow::Borrowed(&self.writer().worker_id),
            epoch: polled.epoch,
            received_at: polled.received_ms,
        }
    }
}

struct Part<'a> {
    from: NextOffset,
    ids: Vec<Cow<'a, str>>,
}

fn split<'a>(polled: &Polled<'a>) -> Vec<Part<'a>> {
    let mut parts = vec![Part { from: polled.from, ids: Vec::new() }];
    let mut bytes = FIXED_BYTES;
    for &(offset, id) in &polled.events {
        let id = bounds::attribute(id);
        bytes += id.len() + LENGTH_BYTES;
        if bytes > MAX_RECEIPT_BYTES {
            bytes = FIXED_BYTES + id.len() + LENGTH_BYTES;
            parts.push(Part { from: NextOffset(offset.0), ids: Vec::new() });
        }
        parts.last_mut().expect("begins with one").ids.push(id);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_batch_without_gap_or_overlap() {
        let source = TopicPartition { topic: "coafi.git".into(), partition: 0 };
        let ids: Vec<String> = (0..5_000).map(|n| format!("{n:>036}")).collect();
        let events = (0..).map(|n| Offset(100 + 2 * n)).zip(ids.iter().map(String::as_str)).collect();
        let (from, to) = (NextOffset(90), NextOffset(10_200));
        let polled = Polled { source: &source, epoch: 1, from, to, received_ms: 0, events };
        let parts = split(&polled);
        assert!(parts.len() > 4, "{}", parts.len());
        assert_eq!(parts[0].from, from);
        assert!(parts.windows(2).all(|pair| pair[0].from < pair[1].from));
        assert_eq!(parts.iter().flat_map(|part| &part.ids).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
        for part in &parts {
            assert!(part.ids.iter().map(|id| id.len() + 2).sum::<usize>() + FIXED_BYTES <= MAX_RECEIPT_BYTES);
        }
        let empty = Polled { events: vec![], ..polled };
        assert_eq!(split(&empty).len(), 1);
    }
}
