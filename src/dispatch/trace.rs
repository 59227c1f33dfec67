//! One span per handled record, so that every log line about it names it, and W3C trace context through it.
//!
//! A span costs about as much as everything else that a no-op record needs. So a record has none when nothing would come of
//! it: every handler of its route says that it logs nothing, and the record is not traced.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::event::Event;

/// The span of an attempt. `traceparent` is the record's, where OpenTelemetry is on.
pub(super) fn span(event: &Event, route: &str, attempt: u32, traceparent: Option<&str>) -> Span {
    let record = event.record();
    let span = tracing::error_span!(
        "event",
        event_id = event.id(),
        correlation_id = event.correlation_id(),
        topic = &**record.topic(),
        partition = record.partition(),
        offset = record.offset().0,
        route,
        attempt,
    );
    if let Some(parent) = traceparent.and_then(parse) {
        let parent = opentelemetry::Context::new().with_remote_span_context(parent);
        // Fails only where no OpenTelemetry layer is installed, and then there is no trace to be part of.
        let _untraced = span.set_parent(parent);
    }
    span
}

/// The span's own context as `traceparent`, if it is part of a trace.
pub(super) fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context
        .is_valid()
        .then(|| format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8()))
}

/// Whether a `traceparent` asks for being traced.
pub(super) fn is_sampled(traceparent: &str) -> bool {
    parse(traceparent).is_some_and(|context| context.is_sampled())
}

/// Whether a span can be its child.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_traceparent(text: &str) -> bool {
    parse(text).is_some()
}

/// W3C Trace Context, version 00: `00-<trace id>-<parent id>-<flags>`, lower-case hexadecimal.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // The numbers' own parsers take a sign and capitals too, which the recommendation does not.
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if ![version, trace, span, flags].into_iter().all(is_hex) {
        return None;
    }
    if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    if trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_counts() {
        for (text, valid, sampled) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true, true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true, false),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true, true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false, false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false, false),
            ("00-xyz-00f067aa0ba902b7-01", false, false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1", false, false),
            ("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false),
            ("zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false),
            ("", false, false),
        ] {
            assert_eq!((parse(text).is_some(), is_sampled(text)), (valid, sampled), "{text:?}");
        }
    }
}
