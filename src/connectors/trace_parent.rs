//! W3C trace context of a published event: where its one trace begins.

use opentelemetry::trace::TraceContextExt as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// `traceparent` of `span`, where OpenTelemetry records it; else a new one that is marked as not sampled, so that the
/// event's logs still share a trace id.
#[must_use]
pub fn of(span: &tracing::Span) -> String {
    let context = span.context();
    let recorded = context.span().span_context().clone();
    if recorded.is_valid() {
        let flags = recorded.trace_flags().to_u8();
        return format!("00-{}-{}-{flags:02x}", recorded.trace_id(), recorded.span_id());
    }
    let (trace, span) = (uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u64_pair().0);
    format!("00-{trace:032x}-{span:016x}-00")
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_telemetry_each_event_has_its_own_trace() {
        let one = super::of(&tracing::Span::none());
        assert_eq!((one.len(), &one[..3], &one[52..]), (55, "00-", "-00"));
        assert_ne!(one, super::of(&tracing::Span::none()));
    }
}
