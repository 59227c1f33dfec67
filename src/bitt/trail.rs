//! Reads an event's records from `coafi.bitt.records`, from the beginning to the end at the time of asking. Its outcomes all
//! have the event's id as their key, so one partition is read; its receipts may be in any, and are read only for an event
//! without outcomes.
//!
//! This is for a person who asks about one event. Searching the ledger has an index of its own.

use std::collections::{BTreeSet, VecDeque};

use serde::de::DeserializeOwned;

use super::{bounds, partition_of};
use crate::dispatch::Failure;
use crate::engine::Class;
use crate::event::Record;
use crate::kafka::scan::{Progress, Reader, ScanError, Wanted};
use crate::schema::payloads::{Intervention, Outcome, Place, Receipt};
use crate::schema::{Codec, Payload};

/// Records kept of one event: the last ones.
pub const MAX_RECORDS: usize = 1_000;
/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Systemic: nothing can be decoded.
    #[error("an audit record of {topic} cannot be decoded: {failure}")]
    Undecodable { topic: String, failure: Failure },
}

/// What is heard while audit records are read.
#[derive(Debug)]
pub enum Heard {
    Progress(Progress),
    /// A record that would be one of those asked for and cannot be decoded: somebody else wrote it, who may do so as long as the
    /// cluster lets them. It is passed over.
    Rubbish {
        place: Place<'static>,
        failure: Failure,
    },
}

/// Where audit records are read from.
#[derive(Clone, Debug)]
pub struct Trail {
    reader: Reader,
    topic: String,
}

impl Trail {
    #[must_use]
    pub fn new(reader: Reader, topic: &str) -> Self {
        Self { reader, topic: topic.to_owned() }
    }

    /// The outcomes of the events with this id, in the order in which they were written.
    ///
    /// # Errors
    /// See [`TrailError`].
    pub async fn outcomes(
        &self,
        event_id: &str,
        codec: &Codec,
        heard: impl FnMut(Heard),
    ) -> Result<Vec<Outcome<'static>>, TrailError> {
        let key = bounds::attribute(event_id).into_owned();
        let sought = Sought { event_type: <Outcome<'static>>::EVENT_TYPE, id: key.into_bytes(), is_key: true };
        self.decoded(sought, codec, heard).await
    }

    /// What people did with the events with this id after they had been put away.
    ///
    /// # Errors
    /// See [`TrailError`].
    pub async fn interventions(
        &self,
        event_id: &str,
        codec: &Codec,
        heard: impl FnMut(Heard),
    ) -> Result<Vec<Intervention<'static>>, TrailError> {
        let id = bounds::attribute(event_id).into_owned().into_bytes();
        let sought = Sought { event_type: <Intervention<'static>>::EVENT_TYPE, id, is_key: true };
        self.decoded(sought, codec, heard).await
    }

    /// The receipts that name an event with this id, in no particular order.
    ///
    /// # Errors
    /// See [`TrailError`].
    pub async fn receipts(
        &self,
        event_id: &str,
        codec: &Codec,
        heard: impl FnMut(Heard),
    ) -> Result<Vec<Receipt<'static>>, TrailError> {
        let id = bounds::attribute(event_id).into_owned();
        let bytes = id.clone().into_bytes();
        let sought = Sought { event_type: <Receipt<'static>>::EVENT_TYPE, id: bytes, is_key: false };
        let mut receipts: Vec<Receipt<'static>> = self.decoded(sought, codec, heard).await?;
        // Until here any receipt whose bytes have the id's in them.
        receipts.retain(|receipt| receipt.event_ids.iter().any(|named| *named == id));
        Ok(receipts)
    }

    async fn decoded<T: Payload + DeserializeOwned>(
        &self,
        sought: Sought,
        codec: &Codec,
        mut heard: impl FnMut(Heard),
    ) -> Result<Vec<T>, TrailError> {
        let records = self.records(&sought, &mut heard).await?;
        let mut all = Vec::with_capacity(records.len());
        for record in records {
            match codec.decode_avro(record.value().unwrap_or_default()).await {
                Ok(decoded) => all.push(decoded),
                Err(failure) if matches!(failure.class, Class::Systemic(_)) => {
                    return Err(TrailError::Undecodable { topic: self.topic.clone(), failure });
                }
                Err(failure) => {
                    let (topic, partition) = (self.topic.clone().into(), record.partition());
                    let place = Place { topic, partition, offset: record.offset().0 };
                    heard(Heard::Rubbish { place, failure });
                }
            }
        }
        Ok(all)
    }

    /// The last [`MAX_RECORDS`] records that are sought.
    async fn records(&self, sought: &Sought, heard: &mut impl FnMut(Heard)) -> Result<VecDeque<Record>, TrailError> {
        let mut wanted = Wanted::all(&self.topic);
        if sought.is_key {
            let count = self.reader.partitions(&self.topic).await?;
            wanted.partitions = BTreeSet::from([partition_of(&sought.id, count)]);
        }
        let mut records = self.reader.read(&self.reader.resolve(wanted).await?)?;
        let mut found = VecDeque::new();
        let mut seen = 0u64;
        while let Some(record) = records.next().await? {
            seen += 1;
            if sought.is(&record) {
                if found.len() == MAX_RECORDS {
                    found.pop_front();
                }
                found.push_back(record);
            }
            if seen.is_multiple_of(PROGRESS_EVERY) {
                heard(Heard::Progress(records.progress()));
            }
        }
        heard(Heard::Progress(records.progress()));
        Ok(found)
    }
}

/// Which records are wanted.
struct Sought {
    event_type: &'static str,
    id: Vec<u8>,
    /// The id is the record's key; else it is somewhere in its value.
    is_key: bool,
}

impl Sought {
    fn is(&self, record: &Record) -> bool {
        let has_id = if self.is_key {
            record.key() == Some(&*self.id)
        } else {
            let value = record.value().unwrap_or_default();
            !self.id.is_empty() && value.windows(self.id.len()).any(|part| part == self.id)
        };
        has_id && record.headers().text("ce_type") == Some(self.event_type)
    }
}
