//! Remembers which route takes which (topic, type, source), so that a record costs one hash and one comparison.

use std::sync::OnceLock;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Routes;
use crate::engine::RouteId;

/// Combinations remembered; those that find their slot taken are looked up each time.
const SLOTS: usize = 4_096;
/// Longer combinations, in bytes, are not remembered.
const MAX_KEY_BYTES: usize = 512;

/// First come, first kept: slots are written once, so that reading takes no lock.
pub(in crate::dispatch) struct RouteCache {
    slots: Box<[OnceLock<Slot>]>,
    by_source: bool,
}

struct Slot {
    topic: Box<str>,
    event_type: Box<str>,
    source: Box<str>,
    route: Option<RouteId>,
}

impl RouteCache {
    pub(in crate::dispatch) fn new(routes: &Routes) -> Self {
        Self { slots: (0..SLOTS).map(|_| OnceLock::new()).collect(), by_source: routes.look_at_source() }
    }

    /// As [`Routes::find`] of the routes that the cache was made for.
    pub(in crate::dispatch) fn find(
        &self,
        routes: &Routes,
        topic: &str,
        event_type: &str,
        source: &str,
    ) -> Option<RouteId> {
        let source = if self.by_source { source } else { "" };
        if topic.len() + event_type.len() + source.len() > MAX_KEY_BYTES {
            return routes.find(topic, event_type, source);
        }
        let slot = self.slots[slot_of(topic, event_type, source)].get_or_init(|| Slot {
            topic: topic.into(),
            event_type: event_type.into(),
            source: source.into(),
            route: routes.find(topic, event_type, source),
        });
        if *slot.event_type == *event_type && *slot.topic == *topic && *slot.source == *source {
            slot.route
        } else {
            routes.find(topic, event_type, source)
        }
    }
}

fn slot_of(topic: &str, event_type: &str, source: &str) -> usize {
    let hash =
        xxh3_64_with_seed(source.as_bytes(), xxh3_64_with_seed(event_type.as_bytes(), xxh3_64(topic.as_bytes())));
    usize::try_from(hash % SLOTS as u64).expect("below SLOTS")
}
