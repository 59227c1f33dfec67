//! How far a connector has come in one part of a source.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.connect.SourceOffset`, the value of the compacted topic `coafi.connect.offsets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceOffset {
    /// E.g. `git`.
    pub connector: String,
    /// The source's configured name or URL.
    pub source: String,
    /// What has an offset of its own, e.g. a branch.
    pub part: String,
    /// The connector's own notation, JSON where it has structure.
    pub offset: String,
    pub updated_at: i64,
}

impl Payload for SourceOffset {
    const EVENT_TYPE: &'static str = "connect.offset";
    const RECORD_NAME: &'static str = "org.coafi.connect.SourceOffset";
    const SCHEMA: &'static str = embedded::CONNECT_OFFSET;
}

impl Encodes<Self> for SourceOffset {}
