//! An output's outcome record.

use std::borrow::Cow;

use serde_json::json;

use super::{Ending, Fault, Renderer, Staged, class_of, fault_of, routed};
use crate::bitt::Repeats;
use crate::dispatch::hop::Origin;
use crate::dispatch::report::Report;
use crate::dispatch::{Routed, Success};
use crate::engine::Disposition;
use crate::event::{Attribute, Outgoing, TopicPartition};
use crate::runtime::Clock;
use crate::schema::payloads::{Outcome, OutcomeKind, Place};

impl Renderer {
    pub(super) fn outcome(&self, source: &TopicPartition, output: &Staged, ending: &Ending, clock: &Clock) -> Outgoing {
        let report = output.report.as_ref();
        let event = output.payload.event();
        let routed = routed(output);
        let route = routed.map(Routed::route);
        let fault = fault_of(output);
        let ended_ms = report.map_or(output.payload.received_ms, |report| report.ended_ms);
        let outcome = Outcome {
            attempt: i32::try_from(output.attempt).unwrap_or(i32::MAX),
            event_id: event.map(|e| Cow::Borrowed(e.id())),
            event_type: event.map(|e| Cow::Borrowed(e.event_type())),
            source: event.map(|e| Cow::Borrowed(e.source())),
            utids: event.map(|e| e.utids().map(Cow::Borrowed).collect()).unwrap_or_default(),
            correlation_id: event.map(|e| Cow::Borrowed(e.correlation_id())),
            causation_id: event.and_then(|e| e.attribute(Attribute::CausationId)).map(Cow::Borrowed),
            route: route.map(|r| Cow::Borrowed(r.name.as_str())),
            route_version: routed.map(|routed| Cow::Borrowed(routed.version())),
            handlers: handlers(output),
            outcome: kind(&output.disposition, ending),
            error_class: class_of(&output.disposition).map(|class| Cow::Borrowed(class.name())),
            error_code: fault.as_ref().map(|fault| Cow::Borrowed(fault.code)),
            steps: self.steps(output, ending, ended_ms, clock),
            result: report.and_then(result),
            due_at: due(&output.disposition, clock),
            first_seen_offset: match output.disposition {
                Disposition::Duplicate { first_seen } => Some(first_seen.0),
                _ => None,
            },
            epoch: i64::try_from(output.ticket.epoch.0).unwrap_or(i64::MAX),
            started_at: report.map(|report| report.started_ms),
            error: fault.map(|Fault { message, .. }| Cow::Owned(message)),
            redrive: i32::try_from(output.payload.redrive()).unwrap_or(i32::MAX),
            origin: output.payload.hop.as_ref().and_then(|hop| hop.origin.as_ref()).map(origin),
            ..self.audit.blank(source, output.ticket.offset, ended_ms)
        };
        let traceparent = report.and_then(|report| report.traceparent.clone());
        let traceparent = traceparent.or_else(|| output.payload.traceparent());
        let repeats = if output.overflow { Repeats::Moved } else { Repeats::No };
        self.audit.outcome(outcome, repeats, traceparent.as_deref())
    }
}

fn handlers(output: &Staged) -> Vec<Cow<'_, str>> {
    let Some(report) = &output.report else { return Vec::new() };
    let ran = report.runs.iter().filter_map(|run| run.handler);
    ran.map(|index| Cow::Borrowed(report.route.route().handlers[usize::from(index)].as_str())).collect()
}

/// `{"success": …, "message": …}`; of several handlers, by name under `results`.
pub(super) fn result(report: &Report) -> Option<Cow<'static, str>> {
    let handlers = &report.route.route().handlers;
    match report.runs.as_slice() {
        [] => None,
        [only] => match &only.result {
            Ok(success) if *success == Success::default() => Some(Cow::Borrowed(r#"{"success":true}"#)),
            Ok(success) => Some(result_of(success).to_string().into()),
            Err(refusal) => Some(json!({"success": false, "message": refusal.failure.message}).to_string().into()),
        },
        several => {
            let results: serde_json::Map<_, _> = several
                .iter()
                .filter_map(|run| {
                    let name = handlers.get(usize::from(run.handler?))?;
                    let result = match &run.result {
                        Ok(success) => result_of(success),
                        Err(refusal) => json!({"success": false, "message": refusal.failure.message}),
                    };
                    Some((name.clone(), result))
                })
                .collect();
            let success = several.iter().all(|run| run.result.is_ok());
            Some(json!({"success": success, "results": results}).to_string().into())
        }
    }
}

fn origin(origin: &Origin) -> Place<'_> {
    Place { topic: Cow::Borrowed(&origin.topic), partition: origin.partition, offset: origin.offset }
}

/// Derived events and replies have records of their own, and steps a place of their own.
fn result_of(success: &Success) -> serde_json::Value {
    let bare = Success { steps: Vec::new(), emit: Vec::new(), reply: None, ..success.clone() };
    let mut value = serde_json::to_value(bare).unwrap_or_default();
    value["success"] = true.into();
    value
}

const fn kind(disposition: &Disposition, ending: &Ending) -> OutcomeKind {
    match disposition {
        Disposition::Processed => OutcomeKind::Processed,
        Disposition::Duplicate { .. } => OutcomeKind::Duplicate,
        Disposition::Filtered => OutcomeKind::Filtered,
        Disposition::RetryInPlace { .. } => OutcomeKind::RetriedInPlace,
        Disposition::RetryTopic { .. } => match ending {
            Ending::Forwarded { instead_of: Some(_), .. } => OutcomeKind::DeadLettered,
            Ending::Forwarded { .. } | Ending::Audited => OutcomeKind::RetriedTopic,
        },
        Disposition::DeadLetter { .. } => OutcomeKind::DeadLettered,
        Disposition::Unprocessed => OutcomeKind::Unprocessed,
        Disposition::Halted { .. } => OutcomeKind::Halted,
    }
}

pub(super) fn due(disposition: &Disposition, clock: &Clock) -> Option<i64> {
    match disposition {
        Disposition::RetryInPlace { due, .. } | Disposition::RetryTopic { due, .. } => Some(clock.unix_ms(*due)),
        _ => None,
    }
}
