//! The reply to a caller who waits: one record in `coafi.results` for each request that came to an end, in the same
//! transaction as the outcome.
//!
//! | what became of the request | outcome | status |
//! |---|---|---|
//! | its handlers are done | `processed` | 200, or what the handler says |
//! | a handler found it invalid: nothing else becomes of it, since its caller can mend it | `refused` | 400, or what the handler says |
//! | the route's filter refused it | `filtered` | 200 |
//! | dead-lettered as invalid or unreadable | `dead_lettered` | 400 |
//! | dead-lettered otherwise | `dead_lettered` | 500 |
//! | no route takes it | `unprocessed` | 501 |
//! | it is tried again, is halted, or is a duplicate, whose first got the reply | none | |

use serde_json::{Value, json};

use super::outcome::result;
use super::{Ending, Fault, Renderer, Staged, fault_of};
use crate::dispatch::replies::{RESULTS_TOPIC, wants_reply};
use crate::dispatch::{Failure, Refusal, hop};
use crate::engine::{Class, Disposition};
use crate::event::{Attribute, Event, HeadersBuilder, Outgoing};
use crate::schema::AVRO_CONTENT_TYPE;
use crate::schema::payloads::ApiReply;

/// Of a reply's body: it has to fit into a record with everything else, and into the memory of whoever waits.
const BODY_BYTES_MAX: usize = 256 * 1024;
const SOURCE: &str = "/coafi/dispatch";

/// Outcome, status and body.
type Answer = (&'static str, u16, String);

impl Renderer {
    pub(super) fn reply(&self, output: &Staged, ending: &Ending) -> Option<Outgoing> {
        let replies = self.replies.as_ref()?;
        let event = output.payload.event().filter(|event| wants_reply(event))?;
        let (outcome, status, body) = answer(output, ending)?;
        let replied_at = output.report.as_ref().map_or(output.payload.received_ms, |report| report.ended_ms);
        let reply = ApiReply {
            request_id: event.id().to_owned(),
            request_source: event.source().to_owned(),
            outcome: outcome.to_owned(),
            status: status.into(),
            body: bounded(body),
            replied_at,
        };
        let mut value = Vec::with_capacity(reply.body.len() + 256);
        replies.encode(&reply, &mut value).expect("a reply has the types of its schema");
        let traceparent = output.report.as_ref().and_then(|report| report.traceparent.clone());
        let traceparent = traceparent.or_else(|| output.payload.traceparent());
        Some(Outgoing {
            topic: RESULTS_TOPIC.into(),
            partition: None,
            key: Some(event.id().to_owned().into()),
            value: Some(value.into()),
            headers: headers(event, replied_at, traceparent.as_deref()).build(),
            timestamp_ms: Some(replied_at),
        })
    }
}

fn headers(event: &Event, replied_at: i64, traceparent: Option<&str>) -> HeadersBuilder {
    let time = jiff::Timestamp::from_millisecond(replied_at).unwrap_or_default().to_string();
    // The reply after a redrive is another one.
    let redrive = event.record().headers().text(hop::REDRIVE).map(|number| format!("/{number}"));
    let id = format!("{}/reply{}", event.id(), redrive.unwrap_or_default());
    let mut headers = HeadersBuilder::with_capacity(512);
    for (name, value) in [
        ("ce_specversion", Some("1.0")),
        ("ce_id", Some(id.as_str())),
        ("ce_source", Some(SOURCE)),
        ("ce_type", Some("api.reply")),
        ("ce_time", Some(&time)),
        ("ce_partitionkey", Some(event.id())),
        ("ce_correlationid", Some(event.correlation_id())),
        ("ce_causationid", Some(event.id())),
        ("ce_tenantid", event.attribute(Attribute::TenantId)),
        ("ce_traceparent", traceparent),
        ("traceparent", traceparent),
        ("content-type", Some(AVRO_CONTENT_TYPE)),
    ] {
        if let Some(value) = value {
            headers.push(name.as_bytes(), Some(value.as_bytes()));
        }
    }
    headers
}

fn answer(output: &Staged, ending: &Ending) -> Option<Answer> {
    match &output.disposition {
        Disposition::Processed => processed(output),
        Disposition::Filtered => Some(("filtered", 200, json!({"message": "no handler wants it"}).to_string())),
        Disposition::Unprocessed => Some(("unprocessed", 501, problem(501, "unprocessed", "no handler takes it", &[]))),
        Disposition::DeadLetter { class } => Some(dead_lettered(output, class)),
        Disposition::RetryTopic { class, .. } => match ending {
            Ending::Forwarded { instead_of: Some(_), .. } => Some(dead_lettered(output, class)),
            Ending::Forwarded { .. } | Ending::Audited => None,
        },
        Disposition::Duplicate { .. } | Disposition::RetryInPlace { .. } | Disposition::Halted { .. } => None,
    }
}

fn processed(output: &Staged) -> Option<Answer> {
    let report = output.report.as_ref();
    if let Some((_, Refusal { failure, .. })) = report.and_then(|report| report.refusal()) {
        let status = failure.status.unwrap_or(400);
        return Some(("refused", status, problem(status, failure.code, &failure.message, &failure.errors)));
    }
    let successes = report.into_iter().flat_map(|report| &report.runs).filter_map(|run| run.result.as_ref().ok());
    let own = successes.filter_map(|success| success.reply.as_ref()).next();
    Some(match own {
        Some(reply) => ("processed", reply.status, reply.body.to_string()),
        None => {
            let result = report.and_then(result).map(std::borrow::Cow::into_owned);
            ("processed", 200, result.unwrap_or_else(|| r#"{"success":true}"#.to_owned()))
        }
    })
}

/// What went wrong inside is for the log and the audit trail; the caller learns whether it can do something about it.
fn dead_lettered(output: &Staged, class: &Class) -> Answer {
    let fault = fault_of(output).map_or(("not_handled", None), |Fault { code, message, .. }| (code, Some(message)));
    match (class, fault) {
        (Class::Invalid | Class::Poison, (code, message)) => {
            let errors = failure_of(output).map_or(&[][..], |failure| &failure.errors);
            ("dead_lettered", 400, problem(400, code, message.as_deref().unwrap_or_default(), errors))
        }
        (_, (code, _)) => {
            let detail = "it could not be handled, and is kept; whoever runs this service can have it handled again";
            ("dead_lettered", 500, problem(500, code, detail, &[]))
        }
    }
}

fn failure_of(output: &Staged) -> Option<&Failure> {
    output.report.as_ref()?.refusal().map(|(_, refusal)| &refusal.failure)
}

/// As the API's own problems; codes of failures are snake_case, those of problems kebab-case.
fn problem(status: u16, code: &str, detail: &str, errors: &[String]) -> String {
    let title = match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        428 => "Precondition Required",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        _ => "Refused",
    };
    let code = code.replace('_', "-");
    let mut document = json!({
        "type": format!("urn:coafi:problem:{code}"), "title": title, "status": status, "detail": detail,
    });
    if !errors.is_empty() {
        document["errors"] = errors.into();
    }
    document.to_string()
}

fn bounded(body: String) -> String {
    if body.len() <= BODY_BYTES_MAX {
        return body;
    }
    let said: Value = serde_json::from_str(&body).unwrap_or_default();
    let message: String = said["message"].as_str().unwrap_or_default().chars().take(1_000).collect();
    json!({"message": message, "omittedBytes": body.len()}).to_string()
}
