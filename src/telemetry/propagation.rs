//! W3C trace context in record headers: one trace from the connector's publish to the outcome, through retries.
//!
//! Works on plain strings, so that this module need not know what a record is. Without an exporter nothing makes spans and
//! there is nothing to inject: whoever forwards a record then copies the `traceparent` that it came with.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Header names, in Kafka plain and in CloudEvents behind `ce_`.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// A `traceparent` and its `tracestate`, both as the W3C recommendation writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub traceparent: String,
    /// Not present when empty.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// What a record that is produced within `span` carries; `None` while nobody records traces.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        let traceparent = carrier.remove(TRACEPARENT)?;
        Some(Self { traceparent, tracestate: carrier.remove(TRACESTATE).filter(|state| !state.is_empty()) })
    }

    /// What a polled record carries; `None` for what is no W3C trace context.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let context = Self { traceparent: traceparent.to_owned(), tracestate: tracestate.map(str::to_owned) };
        context.context().span().span_context().is_valid().then_some(context)
    }

    /// Makes `span`, which must not have been entered yet, a child of this context.
    pub fn adopt(&self, span: &Span) {
        // The only errors are that nobody records traces and that the span is closed, both of which leave nothing to do.
        let _ = span.set_parent(self.context());
    }

    fn context(&self) -> opentelemetry::Context {
        let mut carrier = HashMap::from([(TRACEPARENT.to_owned(), self.traceparent.clone())]);
        carrier.extend(self.tracestate.clone().map(|state| (TRACESTATE.to_owned(), state)));
        TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carrier)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_goes_on_from_one_record_to_the_next() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("handle");
            TraceContext::parse(PARENT, Some("vendor=1")).unwrap().adopt(&span);
            let next = TraceContext::of(&span).unwrap();
            assert_eq!(next.traceparent[..36], PARENT[..36], "the trace id stays");
            assert_ne!(next.traceparent[36..52], PARENT[36..52], "the parent is the new span");
            assert_eq!(next.tracestate.as_deref(), Some("vendor=1"));
        });
    }

    #[test]
    fn what_is_no_trace_context_is_left_alone() {
        for wrong in ["", "00-0-0-0", &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), "ff"] {
            assert_eq!(TraceContext::parse(wrong, None), None, "{wrong:?}");
        }
        assert_eq!(TraceContext::of(&Span::none()), None);
    }
}
