//! What `coafi dev` and `coafi consume` tell at the end, in the order and under the names that programs rely on.

use serde::Serialize;

/// Everything that `coafi dev` reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub events: Events,
    pub files: Files,
    /// Documents written to the artifact store.
    pub artifacts: u64,
    /// Records in `coafi.bitt.records`: receipts and outcomes.
    pub audit_records: u64,
    /// Events that are not resolved, over all partitions.
    pub lag: u64,
    /// From the first poll to now.
    pub seconds: f64,
}

/// Events by outcome. An attempt that is retried is counted beside the event's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Events {
    pub polled: u64,
    pub processed: u64,
    pub duplicate: u64,
    pub filtered: u64,
    pub retried: u64,
    pub dead_lettered: u64,
    pub unprocessed: u64,
}

impl Events {
    /// Events that have come to an end.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.processed + self.duplicate + self.filtered + self.dead_lettered + self.unprocessed
    }
}

/// Changed files by type and validity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Files {
    pub markdown: FileCounts,
    pub yaml_config: FileCounts,
    pub json_data: FileCounts,
    pub unknown: FileCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileCounts {
    pub valid: u64,
    pub invalid: u64,
}

impl Summary {
    /// Ended events per second; 0 before anything was measured.
    #[must_use]
    pub fn events_per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.events.ended() as f64 / self.seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_the_documented_one() {
        let json = serde_json::to_string(&Summary::default()).unwrap();
        let expected = concat!(
            r#"{"events":{"polled":0,"processed":0,"duplicate":0,"filtered":0,"retried":0,"dead_lettered":0,"unprocessed":0},"#,
            r#""files":{"markdown":{"valid":0,"invalid":0},"yaml_config":{"valid":0,"invalid":0},"#,
            r#""json_data":{"valid":0,"invalid":0},"unknown":{"valid":0,"invalid":0}},"#,
            r#""artifacts":0,"audit_records":0,"lag":0,"seconds":0.0}"#
        );
        assert_eq!(json, expected);
    }
}
