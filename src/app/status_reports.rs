//! Writes a replica's status down as a record of the topic `coafi.status`: bounded, in words and wall-clock times.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config;
use crate::dispatch::{Route, Routing, delay};
use crate::engine::{Dependency, Hold, Time};
use crate::event::{HeadersBuilder, Outgoing, TopicPartition};
use crate::kafka::{PartitionStatus, Standstill, Status, StatusRecords};
use crate::runtime::{Clock, unix_ms};
use crate::schema::payloads::{ReplicaOutage, ReplicaPartition, ReplicaReason, ReplicaStatus};
use crate::schema::{AVRO_CONTENT_TYPE, Codec, Encoder, Payload as _};

/// Where replicas say what they are doing.
pub const STATUS_TOPIC: &str = "coafi.status";

/// Partitions in one report.
const MAX_PARTITIONS: usize = 500;
/// Bytes of one report, within the topic's limit for records.
const MAX_VALUE_BYTES: usize = 900_000;
/// Bytes of each text.
const MAX_TEXT_BYTES: usize = 300;
/// How long the schema registry is waited for; then this report is left out.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes for one replica.
pub(super) struct StatusReports {
    pub(super) codec: Codec,
    pub(super) runtime: Handle,
    /// Those in force.
    pub(super) routes: watch::Receiver<Arc<Routing>>,
    pub(super) clock: Clock,
    /// The records' key: what no two live replicas have in common.
    pub(super) key: String,
    pub(super) group: String,
    pub(super) slot: String,
    /// The schema's id is asked for with the first report.
    pub(super) encoder: Option<Encoder<ReplicaStatus>>,
    /// It was said that it cannot be had.
    pub(super) said: bool,
}

impl StatusRecords for StatusReports {
    fn report(&mut self, status: &Status, since_beat: Duration) -> Option<Outgoing> {
        let encoder = self.encoder()?;
        let at_ms = unix_ms();
        let report = self.report_of(status, since_beat, at_ms);
        let value = fitting(report, |report| {
            let mut value = Vec::new();
            encoder.encode(report, &mut value).expect("a report has the types of its schema");
            value
        });
        Some(self.outgoing(Some(value.into()), at_ms))
    }

    fn farewell(&self) -> Option<Outgoing> {
        self.encoder.is_some().then(|| self.outgoing(None, unix_ms()))
    }
}

impl StatusReports {
    fn encoder(&mut self) -> Option<Encoder<ReplicaStatus>> {
        if self.encoder.is_none() {
            let asked = self.codec.encoder(STATUS_TOPIC);
            match self.runtime.block_on(async { tokio::time::timeout(REGISTRY_TIMEOUT, asked).await }) {
                Ok(Ok(encoder)) => self.encoder = Some(encoder),
                Ok(Err(failure)) if !std::mem::replace(&mut self.said, true) => {
                    tracing::warn!("this replica's status is not published, `coafi group why` knows less: {failure}");
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        self.encoder.clone()
    }

    fn outgoing(&self, value: Option<Bytes>, at_ms: i64) -> Outgoing {
        let time = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string();
        let headers = HeadersBuilder::with_capacity(256)
            .with("ce_specversion", "1.0")
            .with("ce_id", format!("{}/{at_ms}", self.key))
            .with("ce_source", format!("/coafi/{}", self.group))
            .with("ce_type", ReplicaStatus::EVENT_TYPE)
            .with("ce_time", time)
            .with("content-type", AVRO_CONTENT_TYPE);
        Outgoing {
            topic: STATUS_TOPIC.into(),
            partition: None,
            key: Some(self.key.clone().into_bytes().into()),
            value,
            headers: headers.build(),
            timestamp_ms: Some(at_ms),
        }
    }

    fn report_of(&self, status: &Status, since_beat: Duration, at_ms: i64) -> ReplicaStatus {
        let unplaced = status.unplaced.iter().map(|source| unplaced(source, status.unplaced_because.as_deref()));
        let placed = status.assignment.iter().map(|partition| self.partition(partition));
        let mut partitions: Vec<ReplicaPartition> = unplaced.chain(placed).collect();
        let omitted = bound(&mut partitions);
        let outage = |dependency: &Dependency| ReplicaOutage {
            dependency: self.name_of(dependency),
            error: status.outages.get(dependency).map(|trouble| clipped(&trouble.message)),
        };
        ReplicaStatus {
            group: self.group.clone(),
            slot: self.slot.clone(),
            host: config::host_name(),
            pid: i64::from(std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.clock.unix_ms(Time::default()),
            reported_at: at_ms,
            turned_at: at_ms.saturating_sub(i64::try_from(since_beat.as_millis()).unwrap_or(i64::MAX)),
            looked_at: self.clock.unix_ms(status.looked_at),
            state: state(status).to_owned(),
            trouble: trouble(status).map(|text| clipped(&text)),
            outages: status.open_circuits.iter().map(outage).collect(),
            partitions,
            partitions_omitted: omitted,
        }
    }

    fn partition(&self, partition: &PartitionStatus) -> ReplicaPartition {
        let census = &partition.census;
        let count = |records: u64| i64::try_from(records).unwrap_or(i64::MAX);
        let head = partition.standing.head;
        ReplicaPartition {
            topic: partition.source.topic.to_string(),
            partition: partition.source.partition,
            committed: Some(partition.committed.0),
            polled: Some(partition.polled.0),
            waiting: count(census.waiting + census.staged + census.halted),
            in_flight: count(census.in_flight),
            parked: count(census.parked),
            oldest_at: partition.oldest_ms,
            head: head.map(|(offset, _)| offset.0),
            head_since: head.map(|(_, since)| self.clock.unix_ms(since)),
            reasons: partition.standing.reasons.iter().map(|reason| self.reason(reason)).collect(),
        }
    }

    fn reason(&self, standstill: &Standstill) -> ReplicaReason {
        let routing = Arc::clone(&self.routes.borrow());
        let route = standstill.route.and_then(|id| route(&routing, id.0 as usize));
        let (since, until) = times(&standstill.hold);
        let trouble = standstill.trouble.as_ref();
        ReplicaReason {
            kind: kind(&standstill.hold).to_owned(),
            offset: standstill.offset.map(|offset| offset.0),
            records: i64::try_from(standstill.records).unwrap_or(i64::MAX),
            route: route.map(|route| clipped(&route.name)),
            limit: route.map(|route| {
                if let Hold::Tenant { .. } = standstill.hold {
                    return route.policy.tenant.in_words().unwrap_or_default();
                }
                let rate = route.rate_limit.map(|limit| format!("at most {} a second; ", limit.per_second));
                format!("{}each handler may take {}", rate.unwrap_or_default(), delay::format(route.deadline))
            }),
            dependency: match &standstill.hold {
                Hold::Outage { dependency, .. } => Some(self.name_of(dependency)),
                _ => None,
            },
            tenant: standstill.tenant.as_deref().map(clipped),
            attempts: i32::try_from(standstill.attempts).unwrap_or(i32::MAX),
            since: since.map(|at| self.clock.unix_ms(at)),
            until: until.map(|at| self.clock.unix_ms(at)),
            error_class: trouble.map(|trouble| trouble.class.to_owned()),
            error_code: trouble.map(|trouble| clipped(&trouble.code)),
            error: trouble.map(|trouble| clipped(&trouble.message)),
        }
    }

    /// The engine knows routes by their number only.
    fn name_of(&self, dependency: &Dependency) -> String {
        let route = dependency.0.strip_prefix("route:").and_then(|number| number.parse::<usize>().ok());
        let routing = Arc::clone(&self.routes.borrow());
        let route = route.and_then(|index| self::route(&routing, index));
        route.map_or_else(|| clipped(&dependency.0), |route| clipped(&format!("route:{}", route.name)))
    }
}

/// `None` for one of routes that have just been replaced.
fn route(routing: &Routing, index: usize) -> Option<&Route> {
    routing.routes().list().get(index)
}

fn unplaced(source: &TopicPartition, because: Option<&str>) -> ReplicaPartition {
    let reason = ReplicaReason { kind: "unplaced".to_owned(), error: because.map(clipped), ..ReplicaReason::default() };
    ReplicaPartition {
        topic: source.topic.to_string(),
        partition: source.partition,
        reasons: vec![reason],
        ..ReplicaPartition::default()
    }
}

/// Leaves those out that say the least; gives their number.
fn bound(partitions: &mut Vec<ReplicaPartition>) -> i32 {
    partitions.sort_by_key(|partition| partition.reasons.is_empty());
    let omitted = partitions.len().saturating_sub(MAX_PARTITIONS);
    partitions.truncate(MAX_PARTITIONS);
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    i32::try_from(omitted).unwrap_or(i32::MAX)
}

/// Encodes a report, without the last of its partitions if it would be too large.
fn fitting(mut report: ReplicaStatus, encode: impl Fn(&ReplicaStatus) -> Vec<u8>) -> Vec<u8> {
    loop {
        let value = encode(&report);
        if value.len() <= MAX_VALUE_BYTES || report.partitions.is_empty() {
            return value;
        }
        let left = report.partitions.len() / 2;
        let omitted = i32::try_from(report.partitions.split_off(left).len()).unwrap_or(i32::MAX);
        report.partitions_omitted = report.partitions_omitted.saturating_add(omitted);
    }
}

fn state(status: &Status) -> &'static str {
    match status {
        status if status.failure.is_some() => "failed",
        status if status.ending => "draining",
        status if !status.member => "joining",
        _ => "working",
    }
}

fn trouble(status: &Status) -> Option<String> {
    let client = status.trouble.as_deref();
    match status {
        Status { failure: Some(failure), .. } => Some(failure.clone()),
        status if status.brokers_down => Some(format!("no broker answers: {}", client.unwrap_or("no reason is known"))),
        status if !status.producer_ready => Some("the transactional producer is not initialised yet".to_owned()),
        _ => client.map(str::to_owned),
    }
}

const fn kind(hold: &Hold) -> &'static str {
    match hold {
        Hold::EventsLost => "events_lost",
        Hold::Draining { .. } => "draining",
        Hold::Marking => "marking",
        Hold::Rebuilding => "rebuilding",
        Hold::Halted => "halted",
        Hold::Outage { .. } => "outage",
        Hold::Disabled => "disabled",
        Hold::Parked { .. } => "parked",
        Hold::Undecided => "undecided",
        Hold::WindowFull => "window_full",
        Hold::Receipt => "receipt",
        Hold::Alone => "alone",
        Hold::Tenant { .. } => "tenant",
        Hold::Slot => "slot",
        Hold::Handler => "handler",
        Hold::Receipts => "receipts",
        Hold::Commit => "commit",
        Hold::Room => "room",
    }
}

/// Since when and until when, where that is known.
const fn times(hold: &Hold) -> (Option<Time>, Option<Time>) {
    match hold {
        Hold::Outage { since, .. } => (Some(*since), None),
        Hold::Draining { until } => (None, Some(*until)),
        Hold::Parked { until } | Hold::Tenant { until } => (None, *until),
        _ => (None, None),
    }
}

fn clipped(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_move_are_left_out_first() {
        let partition = |number: i32, reasons: usize| ReplicaPartition {
            topic: "t".to_owned(),
            partition: number,
            reasons: vec![ReplicaReason::default(); reasons],
            ..ReplicaPartition::default()
        };
        let count = i32::try_from(MAX_PARTITIONS).unwrap() + 10;
        let mut partitions: Vec<_> = (0..count).map(|n| partition(n, usize::from(n >= 10))).collect();
        assert_eq!(bound(&mut partitions), 10);
        assert_eq!((partitions.len(), partitions[0].partition), (MAX_PARTITIONS, 10));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let text = "ä".repeat(MAX_TEXT_BYTES);
        assert_eq!(clipped(&format!("x{text}")).len(), MAX_TEXT_BYTES - 1);
        assert_eq!(clipped("short"), "short");
    }

    #[test]
    fn the_largest_report_fits_into_a_record() {
        let text = || Some("x".repeat(MAX_TEXT_BYTES));
        let mut reason = crate::schema::sample::replica_status().partitions.remove(0).reasons.remove(0);
        (reason.route, reason.dependency, reason.error_code, reason.error) = (text(), text(), text(), text());
        let partition = ReplicaPartition { reasons: vec![reason; 6], ..ReplicaPartition::default() };
        let report = ReplicaStatus { partitions: vec![partition; MAX_PARTITIONS], ..ReplicaStatus::default() };
        let schema: serde_avro_fast::Schema = ReplicaStatus::SCHEMA.parse().unwrap();
        let encode = |report: &ReplicaStatus| {
            serde_avro_fast::to_datum_vec(report, &mut serde_avro_fast::ser::SerializerConfig::new(&schema)).unwrap()
        };
        let value = fitting(report, encode);
        assert!(value.len() <= MAX_VALUE_BYTES, "{} bytes", value.len());
        let read: ReplicaStatus = serde_avro_fast::from_datum_slice(&value, &schema).unwrap();
        assert_eq!(read.partitions.len() + usize::try_from(read.partitions_omitted).unwrap(), MAX_PARTITIONS);
        assert!(read.partitions.len() > 50);
    }
}
