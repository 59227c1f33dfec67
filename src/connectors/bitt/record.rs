//! From the audit log's payloads to the one that is published.

use crate::event::Record;
use crate::schema::payloads::{BittRecord, Intervention, Outcome, OutcomeKind};

/// Of a result, which handlers choose: as much as a condition may want to see.
const RESULT_BYTES_MAX: usize = 256 << 10;

/// What is watched for is the same in any watch but for its name.
pub(super) fn of_outcome(outcome: Outcome<'static>, place: &Record) -> BittRecord {
    let own = |text: Option<std::borrow::Cow<'static, str>>| text.map(std::borrow::Cow::into_owned);
    BittRecord {
        record_type: type_of(outcome.outcome).to_owned(),
        event_id: own(outcome.event_id),
        event_type: own(outcome.event_type),
        event_source: own(outcome.source),
        topic: outcome.origin.map_or(outcome.topic, |origin| origin.topic).into_owned(),
        outcome: Some(outcome.outcome.name().to_owned()),
        attempt: Some(outcome.attempt),
        handlers: outcome.handlers.into_iter().map(std::borrow::Cow::into_owned).collect(),
        route: own(outcome.route),
        error_class: own(outcome.error_class),
        error_code: own(outcome.error_code),
        error: own(outcome.error),
        steps: outcome.steps.into_iter().map(|step| step.kind.into_owned()).collect(),
        result: own(outcome.result).filter(|result| result.len() <= RESULT_BYTES_MAX),
        utids: outcome.utids.into_iter().map(std::borrow::Cow::into_owned).collect(),
        correlation_id: own(outcome.correlation_id),
        recorded_at: outcome.ended_at,
        ..at(place)
    }
}

pub(super) fn of_intervention(intervention: Intervention<'static>, place: &Record) -> BittRecord {
    let own = |text: Option<std::borrow::Cow<'static, str>>| text.map(std::borrow::Cow::into_owned);
    BittRecord {
        record_type: intervention.action.name().to_owned(),
        event_id: own(intervention.event_id),
        event_type: own(intervention.event_type),
        event_source: own(intervention.source),
        topic: intervention.origin.map_or(intervention.topic, |origin| origin.topic).into_owned(),
        error_class: own(intervention.error_class),
        by: Some(intervention.by.into_owned()),
        reason: own(intervention.reason),
        correlation_id: own(intervention.correlation_id),
        recorded_at: intervention.at,
        ..at(place)
    }
}

/// Nothing but where the record stands.
fn at(place: &Record) -> BittRecord {
    BittRecord {
        watch: String::new(),
        record_type: String::new(),
        log_topic: place.topic().to_string(),
        log_partition: place.partition(),
        log_offset: place.offset().0,
        event_id: None,
        event_type: None,
        event_source: None,
        topic: String::new(),
        outcome: None,
        attempt: None,
        handlers: Vec::new(),
        route: None,
        error_class: None,
        error_code: None,
        error: None,
        steps: Vec::new(),
        result: None,
        by: None,
        reason: None,
        utids: Vec::new(),
        correlation_id: None,
        recorded_at: 0,
    }
}

/// As `docs/audit-records.md` calls them.
const fn type_of(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Processed => "EVENT_PROCESSED",
        OutcomeKind::Duplicate => "EVENT_DUPLICATE",
        OutcomeKind::Filtered => "EVENT_FILTERED",
        OutcomeKind::RetriedInPlace | OutcomeKind::RetriedTopic | OutcomeKind::DeadLettered | OutcomeKind::Halted => {
            "EVENT_PROCESSING_FAILED"
        }
        OutcomeKind::Unprocessed => "EVENT_DISPATCH_FAILED",
        OutcomeKind::Lost => "EVENT_LOST",
    }
}
