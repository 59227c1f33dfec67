//! `EVENT_RECEIVED`: a replica has polled a range of offsets.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.bitt.Receipt`: one per polled batch and partition, in parts where its ids exceed 32 KB. Written outside of
/// transactions, so that an abort does not erase that an event was seen (I2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt<'a> {
    pub cluster_id: Cow<'a, str>,
    /// Kafka's id of the topic where the client can tell it, otherwise its name.
    pub topic_id: Cow<'a, str>,
    pub topic: Cow<'a, str>,
    pub partition: i32,
    /// First offset covered, gaps included.
    pub from_offset: i64,
    /// Position after the last offset covered.
    pub to_offset: i64,
    /// CloudEvents ids of the records in the range that are events, in offset order.
    pub event_ids: Vec<Cow<'a, str>>,
    /// This part, from 1; each part covers a range of its own.
    #[serde(default = "one")]
    pub part: i32,
    #[serde(default = "one")]
    pub parts: i32,
    pub group: Cow<'a, str>,
    pub worker_id: Cow<'a, str>,
    pub epoch: i64,
    pub received_at: i64,
}

const fn one() -> i32 {
    1
}

impl Receipt<'_> {
    /// The record's id: the same for the same range under the same assignment.
    #[must_use]
    pub fn record_id(&self) -> String {
        let Self { cluster_id, topic_id, partition, from_offset, to_offset, epoch, .. } = self;
        format!("{cluster_id}/{topic_id}/{partition}/{from_offset}-{to_offset}/{epoch}")
    }
}

impl Payload for Receipt<'static> {
    const EVENT_TYPE: &'static str = "bitt.receipt";
    const RECORD_NAME: &'static str = "org.coafi.bitt.Receipt";
    const SCHEMA: &'static str = embedded::BITT_RECEIPT;
}

impl Encodes<Receipt<'static>> for Receipt<'_> {}
