//! Events that handlers derived: each with the handled event as its cause, in the same correlation, tenant and trace.

use super::{Renderer, Staged};
use crate::dispatch::{NewEvent, hop};
use crate::event::{Attribute, Event, HeadersBuilder, Outgoing};
use crate::schema::AVRO_CONTENT_TYPE;

const HEADERS_BYTES: usize = 512;

impl Renderer {
    /// Of every handler that succeeded in this attempt, also where another one failed: it will not run again. Of those that failed
    /// what they say of the dead letter, if it is one.
    pub(super) fn derived(&self, output: &Staged, is_letter: bool, into: &mut Vec<Outgoing>) {
        let (Some(report), Some(event)) = (&output.report, output.payload.event()) else { return };
        let succeeded = report.runs.iter().filter_map(|run| run.result.as_ref().ok());
        let failed = report.runs.iter().filter_map(|run| run.result.as_ref().err()).filter(|_| is_letter);
        let of_letter = failed.filter_map(|refusal| refusal.failure.on_dead_letter.as_deref());
        let mut derived = succeeded.flat_map(|success| &success.emit).chain(of_letter).peekable();
        if derived.peek().is_none() {
            return;
        }
        let traceparent = report.traceparent.clone().or_else(|| output.payload.traceparent());
        // The cause's own time, so that a re-run derives the same event.
        let at_ms = event.record().timestamp_ms().unwrap_or(output.payload.received_ms);
        into.extend(derived.map(|new| outgoing(event, new, traceparent.as_deref(), at_ms)));
    }
}

fn outgoing(cause: &Event, new: &NewEvent, traceparent: Option<&str>, at_ms: i64) -> Outgoing {
    let time = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().to_string();
    let hops = new.workflow_hops.map(|hops| hops.to_string());
    let hops = hops.as_deref().or_else(|| cause.attribute(Attribute::WorkflowHops));
    let mut headers = HeadersBuilder::with_capacity(HEADERS_BYTES);
    for (name, value) in [
        ("ce_specversion", Some("1.0")),
        ("ce_id", Some(new.id.as_str())),
        ("ce_source", Some(&new.source)),
        ("ce_type", Some(&new.event_type)),
        ("ce_time", Some(&time)),
        ("ce_subject", new.subject.as_deref()),
        ("ce_partitionkey", Some(&new.key)),
        ("ce_correlationid", Some(cause.correlation_id())),
        ("ce_causationid", Some(cause.id())),
        ("ce_tenantid", new.tenant.as_deref().or_else(|| cause.attribute(Attribute::TenantId))),
        ("ce_utids", cause.attribute(Attribute::Utids)),
        ("ce_workflowhops", hops),
        // Of a replay: what follows from it is its own, too.
        (hop::RUN, cause.record().headers().text(hop::RUN)),
        ("ce_traceparent", traceparent),
        ("ce_tracestate", cause.attribute(Attribute::TraceState)),
        ("traceparent", traceparent),
        ("tracestate", cause.attribute(Attribute::TraceState)),
        ("content-type", Some(AVRO_CONTENT_TYPE)),
    ] {
        if let Some(value) = value {
            headers.push(name.as_bytes(), Some(value.as_bytes()));
        }
    }
    Outgoing {
        topic: new.topic.as_str().into(),
        partition: None,
        key: Some(new.key.clone().into()),
        value: Some(new.data.clone()),
        headers: headers.build(),
        timestamp_ms: Some(at_ms),
    }
}
