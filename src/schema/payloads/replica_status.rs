//! What a replica says of itself.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.operations.ReplicaStatus`, the value of the compacted topic `coafi.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    pub group: String,
    pub slot: String,
    pub host: String,
    pub pid: i64,
    pub version: String,
    pub started_at: i64,
    pub reported_at: i64,
    /// When the poll loop last came round.
    pub turned_at: i64,
    /// When the partitions were last looked at.
    pub looked_at: i64,
    /// One of `joining`, `working`, `draining`, `failed`.
    pub state: String,
    #[serde(default)]
    pub trouble: Option<String>,
    #[serde(default)]
    pub outages: Vec<ReplicaOutage>,
    #[serde(default)]
    pub partitions: Vec<ReplicaPartition>,
    #[serde(default)]
    pub partitions_omitted: i32,
}

/// A dependency that is down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaOutage {
    pub dependency: String,
    #[serde(default)]
    pub error: Option<String>,
}

/// One assigned partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaPartition {
    pub topic: String,
    pub partition: i32,
    /// `None` where it is not known yet where the partition begins.
    #[serde(default)]
    pub committed: Option<i64>,
    #[serde(default)]
    pub polled: Option<i64>,
    pub waiting: i64,
    pub in_flight: i64,
    pub parked: i64,
    #[serde(default)]
    pub oldest_at: Option<i64>,
    /// The lowest record that is polled and has not ended.
    #[serde(default)]
    pub head: Option<i64>,
    #[serde(default)]
    pub head_since: Option<i64>,
    #[serde(default)]
    pub reasons: Vec<ReplicaReason>,
}

/// What some of its records wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaReason {
    /// See the schema; later versions may have more.
    pub kind: String,
    #[serde(default)]
    pub offset: Option<i64>,
    pub records: i64,
    #[serde(default)]
    pub route: Option<String>,
    /// What bounds the route, in words.
    #[serde(default)]
    pub limit: Option<String>,
    #[serde(default)]
    pub dependency: Option<String>,
    #[serde(default)]
    pub tenant: Option<String>,
    pub attempts: i32,
    #[serde(default)]
    pub since: Option<i64>,
    #[serde(default)]
    pub until: Option<i64>,
    #[serde(default)]
    pub error_class: Option<String>,
    #[serde(default)]
    pub error_code: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
}

impl Payload for ReplicaStatus {
    const EVENT_TYPE: &'static str = "replica.status";
    const RECORD_NAME: &'static str = "org.coafi.operations.ReplicaStatus";
    const SCHEMA: &'static str = embedded::REPLICA_STATUS;
}

impl Encodes<Self> for ReplicaStatus {}
