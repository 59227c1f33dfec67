//! Bounds of the engine (I7), deduplication and circuits.

use std::time::Duration;

use super::Kafka;
use super::section::Section;
use crate::engine::offset_map::{self, MAX_METADATA_BYTES};
use crate::engine::{CircuitSettings, Settings, retry::Backoff};

/// Bytes that the offset map has at least for what is resolved out of order: a window of 2,000 offsets.
const OFFSET_MAP_ROOM_MIN: usize = 250;

/// See [`crate::engine::Settings`], which this becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    pub max_records: usize,
    pub max_bytes: u64,
    pub max_in_flight: usize,
    pub max_run: usize,
    pub max_parked: usize,
    pub max_metadata_bytes: usize,
    pub dedup_window: u32,
    pub dedup_max_entries: usize,
    pub suspect_after: u32,
    pub crash_deaths: u32,
    pub circuit: Circuit,
}

/// See [`CircuitSettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    pub failures: u32,
    pub decide_within: Duration,
    pub same_error_lanes: u32,
    pub looks_every: Duration,
    pub probe_initial: Duration,
    pub probe_cap: Duration,
    pub escalate_after: Duration,
}

impl Engine {
    pub(super) fn read(section: &mut Section<'_>, kafka: &Kafka) -> Self {
        let (dedup_window, dedup_max_entries) = section.section("dedup", |s| {
            (s.integer("window", 20_000, 0..=10_000_000), s.integer("max_entries", 500_000, 0..=100_000_000))
        });
        let engine = Self {
            max_records: section.integer("max_records", 20_000, 10..=10_000_000),
            max_bytes: section.size("max_bytes", 64 << 20, 2 << 20..=64 << 30),
            max_in_flight: section.integer("max_in_flight", 1_024, 1..=1_000_000),
            max_run: section.integer("max_run", 64, 1..=10_000),
            max_parked: section.integer("max_parked", 100, 1..=1_000),
            max_metadata_bytes: section.integer("max_metadata_bytes", MAX_METADATA_BYTES, 512..=MAX_METADATA_BYTES),
            dedup_window,
            dedup_max_entries,
            suspect_after: section.integer("suspect_after", 3, 1..=1_000),
            crash_deaths: section.integer("crash_deaths", 3, 1..=1_000),
            circuit: section.section("circuit", Circuit::read),
        };
        engine.check(section, kafka);
        engine
    }

    fn check(&self, section: &mut Section<'_>, kafka: &Kafka) {
        if self.max_in_flight > self.max_records {
            section.reject("max_in_flight", "must not exceed engine.max_records");
        }
        if self.max_run > self.max_in_flight {
            section.reject("max_run", "must not exceed engine.max_in_flight");
        }
        if offset_map::room(self.max_parked, self.max_metadata_bytes) < OFFSET_MAP_ROOM_MIN {
            section.reject("max_parked", "leaves the offset map no room within engine.max_metadata_bytes");
        }
        if kafka.commit.max_records > self.max_records {
            section.reject("max_records", "must not be below kafka.commit.max_records, or a transaction never fills");
        }
    }

    pub(super) fn with_commit(&self, kafka: &Kafka) -> Settings {
        Settings {
            max_records: self.max_records,
            max_bytes: usize::try_from(self.max_bytes).unwrap_or(usize::MAX),
            max_in_flight: self.max_in_flight,
            max_run: self.max_run,
            commit_interval: kafka.commit.interval,
            commit_max_records: kafka.commit.max_records,
            drain_timeout: kafka.drain_timeout,
            dedup_window: self.dedup_window,
            dedup_max_entries: self.dedup_max_entries,
            max_parked: self.max_parked,
            max_metadata_bytes: self.max_metadata_bytes,
            suspect_after: self.suspect_after,
            crash_deaths: self.crash_deaths,
            circuit: CircuitSettings {
                failures: self.circuit.failures,
                decide_within: self.circuit.decide_within,
                same_error_lanes: self.circuit.same_error_lanes,
                probe: Backoff { initial: self.circuit.probe_initial, cap: self.circuit.probe_cap },
                looks_every: self.circuit.looks_every,
                escalate_after: self.circuit.escalate_after,
            },
        }
    }
}

impl Circuit {
    fn read(section: &mut Section<'_>) -> Self {
        let (ms, minutes) = (Duration::from_millis, |n: u64| Duration::from_secs(60 * n));
        let circuit = Self {
            failures: section.integer("failures", 5, 1..=10_000),
            decide_within: section.duration("decide_within", ms(2_000), ms(10)..=minutes(10)),
            same_error_lanes: section.integer("same_error_lanes", 10, 2..=10_000),
            probe_initial: section.duration("probe_initial", ms(500), ms(10)..=minutes(10)),
            probe_cap: section.duration("probe_cap", ms(1_000), ms(10)..=minutes(60)),
            looks_every: section.duration("looks_every", ms(30_000), ms(100)..=minutes(10)),
            escalate_after: section.duration("escalate_after", minutes(5), ms(100)..=minutes(24 * 60)),
        };
        if circuit.probe_cap < circuit.probe_initial {
            section.reject("probe_cap", "must not be below engine.circuit.probe_initial");
        }
        circuit
    }
}
