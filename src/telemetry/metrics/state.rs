//! What the instruments read when somebody scrapes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::kafka::{Counts, Incidents};

/// What the replica holds now (I7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub in_flight: u64,
    /// Polled and not yet resolved, in flight and parked ones included.
    pub buffered: u64,
    pub buffered_bytes: u64,
    pub parked: u64,
    /// Waiting because their tenant has all that its route lets it have.
    pub beyond_quota: u64,
}

/// A partition's unresolved offsets by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Not polled yet.
    pub unfetched: u64,
    /// Polled, behind another record of its lane or for a free slot.
    pub waiting: u64,
    pub in_flight: u64,
    /// Parked in place for the next attempt, or behind such a record.
    pub parked: u64,
    /// In a retry topic.
    pub retrying: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    pub topic: Arc<str>,
    pub partition: i32,
    pub lag: Lag,
    /// How long ago the oldest unresolved record was written, as far as it has been polled.
    pub oldest: Option<Duration>,
}

/// A dependency's circuit, see `engine::CircuitSettings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    Closed,
    Open,
}

impl CircuitState {
    const ALL: [(Self, &'static str); 2] = [(Self::Closed, "closed"), (Self::Open, "open")];
}

/// Written once per poll or second, read per scrape; the locks are never held for longer than a copy.
#[derive(Debug, Default)]
pub(super) struct State {
    counts: Mutex<Counts>,
    incidents: Mutex<Incidents>,
    gauges: Mutex<Gauges>,
    lag: Mutex<Vec<PartitionLag>>,
    circuits: Mutex<BTreeMap<String, CircuitState>>,
}

impl State {
    pub(super) fn set_counts(&self, counts: &Counts) {
        *lock(&self.counts) = *counts;
    }

    pub(super) fn set_incidents(&self, incidents: Incidents) {
        *lock(&self.incidents) = incidents;
    }

    pub(super) fn set_gauges(&self, gauges: Gauges) {
        *lock(&self.gauges) = gauges;
    }

    pub(super) fn set_lag(&self, partitions: Vec<PartitionLag>) {
        *lock(&self.lag) = partitions;
    }

    pub(super) fn set_circuit(&self, dependency: &str, circuit: CircuitState) {
        lock(&self.circuits).insert(dependency.to_owned(), circuit);
    }
}

/// Every change is a plain assignment, so a poisoned value is still a value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the instruments. The provider owns their callbacks, and through them the state.
pub(super) fn observe(state: &Arc<State>, meter: &Meter) {
    observe_counts(state, meter);
    observe_gauges(state, meter);
    observe_lag(state, meter);
    observe_age(state, meter);
    let circuits = Arc::clone(state);
    meter
        .u64_observable_gauge("coafi_circuit")
        .with_description("1 for the state that a dependency's circuit is in")
        .with_callback(move |observer| {
            for (dependency, current) in &*lock(&circuits.circuits) {
                for (state, name) in CircuitState::ALL {
                    let labels = [KeyValue::new("dependency", dependency.clone()), KeyValue::new("state", name)];
                    observer.observe(u64::from(state == *current), &labels);
                }
            }
        })
        .build();
}

fn observe_counts(state: &Arc<State>, meter: &Meter) {
    let polled = Arc::clone(state);
    meter
        .u64_observable_counter("coafi_records_polled")
        .with_description("Records polled")
        .with_callback(move |observer| observer.observe(lock(&polled.counts).polled, &[]))
        .build();
    let outcomes = Arc::clone(state);
    meter
        .u64_observable_counter("coafi_outcomes")
        .with_description("Committed outcomes by kind")
        .with_callback(move |observer| {
            let counts = *lock(&outcomes.counts);
            for (kind, count) in [
                ("processed", counts.processed),
                ("duplicate", counts.duplicate),
                ("filtered", counts.filtered),
                ("retried", counts.retried),
                ("dead_lettered", counts.dead_lettered),
                ("unprocessed", counts.unprocessed),
                ("halted", counts.halted),
            ] {
                observer.observe(count, &[KeyValue::new("outcome", kind)]);
            }
        })
        .build();
    let incidents = Arc::clone(state);
    meter
        .u64_observable_counter("coafi_incidents")
        .with_description("What wants a person's eye, by kind")
        .with_callback(move |observer| {
            for (kind, count) in lock(&incidents.incidents).by_kind() {
                observer.observe(count, &[KeyValue::new("kind", kind)]);
            }
        })
        .build();
    let transactions = Arc::clone(state);
    meter
        .u64_observable_counter("coafi_transactions")
        .with_description("Transactions by how they ended")
        .with_callback(move |observer| {
            let counts = *lock(&transactions.counts);
            observer.observe(counts.commits, &[KeyValue::new("result", "committed")]);
            observer.observe(counts.aborts, &[KeyValue::new("result", "aborted")]);
        })
        .build();
}

fn observe_gauges(state: &Arc<State>, meter: &Meter) {
    type Field = fn(Gauges) -> u64;
    let gauges: [(&'static str, &'static str, &'static str, Field); 5] = [
        ("coafi_records_in_flight", "", "Records with a handler", |g| g.in_flight),
        ("coafi_records_buffered", "", "Records polled and not resolved", |g| g.buffered),
        ("coafi_buffered", "By", "Bytes of the records that are not resolved", |g| g.buffered_bytes),
        ("coafi_records_parked", "", "Records that wait in place for their next attempt", |g| g.parked),
        ("coafi_records_beyond_quota", "", "Records that wait for the bounds of their tenant", |g| g.beyond_quota),
    ];
    for (name, unit, description, field) in gauges {
        let state = Arc::clone(state);
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| observer.observe(field(*lock(&state.gauges)), &[]))
            .build();
    }
}

fn observe_lag(state: &Arc<State>, meter: &Meter) {
    let lag = Arc::clone(state);
    meter
        .u64_observable_gauge("coafi_lag")
        .with_description("Unresolved offsets of assigned partitions, by what they wait for")
        .with_callback(move |observer| {
            for PartitionLag { topic, partition, lag, .. } in &*lock(&lag.lag) {
                for (state, count) in [
                    ("unfetched", lag.unfetched),
                    ("waiting", lag.waiting),
                    ("in_flight", lag.in_flight),
                    ("parked", lag.parked),
                    ("retrying", lag.retrying),
                ] {
                    let [topic, partition] = labels(topic, *partition);
                    observer.observe(count, &[topic, partition, KeyValue::new("state", state)]);
                }
            }
        })
        .build();
}

fn observe_age(state: &Arc<State>, meter: &Meter) {
    let lag = Arc::clone(state);
    meter
        .f64_observable_gauge("coafi_oldest_record_age")
        .with_unit("s")
        .with_description("How long ago the oldest record was written that is polled and not resolved")
        .with_callback(move |observer| {
            for PartitionLag { topic, partition, oldest, .. } in &*lock(&lag.lag) {
                let age = oldest.unwrap_or_default().as_secs_f64();
                observer.observe(age, &labels(topic, *partition));
            }
        })
        .build();
}

fn labels(topic: &Arc<str>, partition: i32) -> [KeyValue; 2] {
    [KeyValue::new("topic", Arc::clone(topic)), KeyValue::new("partition", i64::from(partition))]
}
