//! What a step waits for that somebody else does: an event, or the end of another run.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Path;
use crate::numbers;

/// Of what an event and a run have in common: it is looked for in an index.
const CORRELATION_BYTES_MAX: usize = 500;
/// Runs that led to a run, each by starting the next: more are a circle of workflows that start each other.
pub const HOPS_MAX: u32 = 32;

/// The event that a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Awaited {
    pub event_type: String,
    /// The text of the expression over the event ...
    pub correlate: String,
    /// ... that gives this.
    pub value: String,
}

/// The step of another run that waits for a run's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Name of its definition.
    pub workflow: String,
    pub workflow_id: String,
    pub step: Path,
    pub attempt: u32,
}

/// What a run follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub caller: Option<Caller>,
    /// Runs that led to it.
    pub hops: u32,
}

/// A text, a number or true and false, as it is compared; `None` for what cannot be, or is too long to be looked for.
#[must_use]
pub fn correlation(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) => numbers::whole(value).map_or_else(|| value.to_string(), |whole| whole.to_string()),
        Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty() && text.len() <= CORRELATION_BYTES_MAX).then_some(text)
}

/// Id of the run that an attempt of a step calls: calling twice starts one.
pub(super) fn child_id(workflow_id: &str, step: &Path, attempt: u32) -> String {
    let mut hash = Sha256::new();
    for part in ["call", workflow_id, step.as_str(), &attempt.to_string()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("wf-{digits}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_can_be_compared_is_compared_as_text() {
        for (value, expected) in
            [("a".into(), "a"), (json!(7), "7"), (json!(7.0), "7"), (json!(7.5), "7.5"), (true.into(), "true")]
        {
            assert_eq!(correlation(&value).as_deref(), Some(expected));
        }
        for none in [json!(null), json!(""), json!([1]), json!({}), json!("x".repeat(CORRELATION_BYTES_MAX + 1))] {
            assert_eq!(correlation(&none), None, "{none}");
        }
    }

    #[test]
    fn every_attempt_calls_a_run_of_its_own() {
        let id = |step: &str, attempt| child_id("wf", &Path::of(step), attempt);
        assert_eq!(id("a", 1), id("a", 1));
        assert!(id("a", 1) != id("a", 2) && id("a", 1) != id("b", 1));
    }
}
