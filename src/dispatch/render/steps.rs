//! The ordered steps of an attempt, under the names of `requirements.md` and `bitt.md`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::outcome::due;
use super::{Ending, Renderer, Staged, routed};
use crate::dispatch::Step;
use crate::dispatch::report::{HandlerRun, Refusal};
use crate::engine::{Class, Disposition};
use crate::runtime::Clock;
use crate::schema::payloads::OutcomeStep;

const NO_DETAIL: &str = "{}";

impl Renderer {
    pub(super) fn steps<'a>(
        &'a self,
        output: &'a Staged,
        ending: &Ending,
        ended_ms: i64,
        clock: &Clock,
    ) -> Vec<OutcomeStep<'a>> {
        let mut steps = Vec::with_capacity(6);
        steps.push(step("EVENT_RECEIVED", output.payload.received_ms, NO_DETAIL.into()));
        if let Some((code, error)) = output.payload.poison() {
            let detail = json!({"code": code, "error": error});
            steps.push(step("EVENT_VALIDATION_FAILED", output.payload.received_ms, text(&detail)));
        }
        if let Some(report) = &output.report {
            let details = report.route.details();
            let event_id = output.payload.event().map_or("", |event| event.id());
            if report.runs.iter().any(|run| run.handler.is_some()) {
                steps.push(step("EVENT_VALIDATED", report.started_ms, NO_DETAIL.into()));
            }
            for run in &report.runs {
                of_run(run, details, event_id, (report.started_ms, report.ended_ms), &mut steps);
            }
        }
        steps.extend(self.last_step(output, ending, ended_ms, clock));
        steps
    }

    fn last_step<'a>(&self, output: &Staged, ending: &Ending, at: i64, clock: &Clock) -> Option<OutcomeStep<'a>> {
        let topic = match ending {
            Ending::Forwarded { outgoing, .. } => Some(&*outgoing.topic),
            Ending::Audited => None,
        };
        let (kind, detail) = match &output.disposition {
            Disposition::Processed => return None,
            Disposition::Duplicate { first_seen } => ("EVENT_DUPLICATE", json!({"firstSeenOffset": first_seen.0})),
            Disposition::Filtered => {
                let filter =
                    routed(output).and_then(|routed| routed.route().filter.as_ref()).map(|filter| filter.text());
                ("EVENT_FILTERED", json!({"filter": filter}))
            }
            Disposition::RetryInPlace { .. } => {
                ("EVENT_RETRY_SCHEDULED", json!({"place": "in place", "due": due(&output.disposition, clock)}))
            }
            Disposition::RetryTopic { .. } => match ending {
                Ending::Forwarded { instead_of: Some(missed), .. } => (
                    "EVENT_DEAD_LETTERED",
                    json!({"topic": topic, "reason": format!("the record does not fit {missed} with its headers")}),
                ),
                Ending::Forwarded { .. } | Ending::Audited => {
                    ("EVENT_RETRY_SCHEDULED", json!({"topic": topic, "due": due(&output.disposition, clock)}))
                }
            },
            Disposition::DeadLetter { class } => {
                ("EVENT_DEAD_LETTERED", json!({"topic": topic, "class": class.name()}))
            }
            Disposition::Unprocessed => ("EVENT_UNPROCESSED", json!({"topic": topic, "reason": Self::reason(output)})),
            Disposition::Halted { class } => ("EVENT_HALTED", json!({"class": class.name()})),
        };
        Some(step(kind, at, text(&detail)))
    }
}

fn of_run<'a>(
    run: &'a HandlerRun,
    details: &'a [String],
    event_id: &str,
    (started, ended): (i64, i64),
    steps: &mut Vec<OutcomeStep<'a>>,
) {
    let detail = run.handler.and_then(|index| details.get(usize::from(index))).map_or(NO_DETAIL, String::as_str);
    if run.handler.is_some() {
        steps.push(step("HANDLER_INVOKED", started, detail.into()));
    }
    match &run.result {
        Ok(success) => {
            steps.extend(success.steps.iter().map(|own| of_handler(own, ended)));
            if let Some(id) = &success.workflow_id {
                steps.push(step("WORKFLOW_INITIATED", ended, text(&json!({"workflowId": id}))));
            }
            steps.push(step("EVENT_PROCESSED", ended, detail.into()));
        }
        Err(refusal) => {
            steps.extend(refusal.failure.steps.iter().map(|own| of_handler(own, ended)));
            if run.handler.is_some() {
                let detail = json!({"eventId": event_id, "error": refusal.failure.message});
                steps.push(step("HANDLER_ERROR", ended, text(&detail)));
            }
            steps.push(of_refusal(run, refusal, detail, ended));
        }
    }
}

fn of_handler(own: &Step, at: i64) -> OutcomeStep<'_> {
    OutcomeStep { kind: Cow::Borrowed(&own.kind), at: Some(at), detail: text(&own.detail) }
}

fn of_refusal<'a>(run: &HandlerRun, refusal: &Refusal, handler: &str, at: i64) -> OutcomeStep<'a> {
    let failure = &refusal.failure;
    let kind = match (&failure.class, run.handler) {
        (Class::Poison | Class::Invalid, _) => "EVENT_VALIDATION_FAILED",
        (_, None) => "EVENT_DISPATCH_FAILED",
        (_, Some(_)) => "EVENT_PROCESSING_FAILED",
    };
    let mut detail: Value = serde_json::from_str(handler).unwrap_or_else(|_| json!({}));
    detail["class"] = failure.class.name().into();
    detail["code"] = failure.code.into();
    detail["error"] = failure.message.as_str().into();
    if !failure.errors.is_empty() {
        detail["errors"] = failure.errors.as_slice().into();
    }
    if let Some(location) = &refusal.location {
        detail["stack"] = location.as_str().into();
    }
    step(kind, at, text(&detail))
}

fn step<'a>(kind: &'static str, at: i64, detail: Cow<'a, str>) -> OutcomeStep<'a> {
    OutcomeStep { kind: Cow::Borrowed(kind), at: Some(at), detail }
}

fn text<'a>(detail: &Value) -> Cow<'a, str> {
    Cow::Owned(detail.to_string())
}
