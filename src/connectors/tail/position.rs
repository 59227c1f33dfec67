//! Positions as source offsets: one part per partition, `{"v": 1, "offset": N}`, N the offset that is read next.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::connectors::Parts;

const VERSION: i64 = 1;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the position {value} of partition {part:?} cannot be read; allowed: {{\"v\": {VERSION}, \"offset\": N}}")]
pub struct UnreadablePosition {
    pub part: String,
    pub value: String,
}

/// Next offsets by partition.
pub(super) type Positions = BTreeMap<i32, i64>;

/// # Errors
/// Going on without one would repeat or skip.
pub(super) fn positions(parts: &Parts) -> Result<Positions, UnreadablePosition> {
    let position = |(part, value): (&String, &Value)| {
        let offset = value["offset"].as_i64().filter(|offset| *offset >= 0 && value["v"].as_i64() == Some(VERSION));
        let unreadable = || UnreadablePosition { part: part.clone(), value: value.to_string() };
        Ok((part.parse().map_err(|_| unreadable())?, offset.ok_or_else(unreadable)?))
    };
    parts.iter().map(position).collect()
}

pub(super) fn part((partition, next): (&i32, &i64)) -> (String, Option<Value>) {
    (partition.to_string(), Some(json!({"v": VERSION, "offset": next})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let written = part((&3, &17));
        assert_eq!(written, ("3".to_owned(), Some(json!({"v": 1, "offset": 17}))), "kept by every version");
        let parts: Parts = [(written.0, written.1.unwrap())].into();
        assert_eq!(positions(&parts), Ok([(3, 17)].into()));
        for value in [json!({"v": 2, "offset": 1}), json!({"v": 1}), json!({"v": 1, "offset": -1}), json!(7)] {
            assert!(positions(&[("0".to_owned(), value.clone())].into()).is_err(), "{value}");
        }
        assert!(positions(&[("main".to_owned(), json!({"v": 1, "offset": 1}))].into()).is_err());
    }
}
