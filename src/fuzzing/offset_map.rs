//! What somebody left as the metadata of a committed offset.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Target, choice, text};
use crate::engine::offset_map::{MAX_METADATA_BYTES, OffsetMap, newer_version};
use crate::event::NextOffset;

const IDENTITY: u64 = 7;

inventory::submit! { Target { name: "offset_map", run } }

/// The first byte says whether text follows as Kafka has it, or what is behind the head of a map that is ours.
fn run(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    let position = NextOffset(if kind & 2 == 0 { 1_000_000 } else { i64::MAX - 1_000 });
    let written = if kind & 1 == 0 {
        let Some(text) = text(rest) else { return };
        text.to_owned()
    } else {
        let head = OffsetMap::default().encode(IDENTITY, position, MAX_METADATA_BYTES);
        let mut raw = STANDARD_NO_PAD.decode(&head["coafi1:".len()..]).expect("it was encoded");
        // Behind identity and position there are six numbers of one byte, and the form.
        raw.truncate(raw.len() - 7);
        raw.extend(rest);
        format!("coafi1:{}", STANDARD_NO_PAD.encode(raw))
    };
    let _version = newer_version(&written, IDENTITY, position);
    let Some(map) = OffsetMap::decode(&written, IDENTITY, position) else { return };
    assert!(map.resolved.iter().all(|range| position.0 <= range.start && range.start < range.end), "{map:?}");
    assert!(map.resolved.is_sorted_by(|one, next| one.end <= next.start), "{map:?}");
    let again = OffsetMap::decode(&map.encode(IDENTITY, position, usize::MAX), IDENTITY, position);
    let again = again.expect("what was encoded is decoded");
    assert_eq!(joined(&again.resolved), joined(&map.resolved));
    assert_eq!(OffsetMap { resolved: Vec::new(), ..again }, OffsetMap { resolved: Vec::new(), ..map });
}

/// Ranges that touch are one.
fn joined(ranges: &[Range<i64>]) -> Vec<Range<i64>> {
    let mut joined: Vec<Range<i64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range.clone()),
        }
    }
    joined
}
