//! What every attempt needs, made once.

use std::sync::Arc;

use tracing::Span;

use super::delivery::Delivery;
use super::dispatcher::Settings;
use super::rate::Limiter;
use super::redaction::Redaction;
use super::routes::RateLimit;
use super::{Routed, Services, trace};
use crate::engine::Job;
use crate::runtime::Clock;

pub(super) struct Shared {
    pub(super) services: Arc<Services>,
    /// Of all routes together.
    pub(super) overall: Option<Limiter>,
    pub(super) clock: Clock,
    /// Whether OpenTelemetry is on.
    pub(super) otel: bool,
    /// Which run over the topics this is.
    pub(super) run: String,
    pub(super) redaction: Arc<Redaction>,
    /// What a derived event must fit.
    pub(super) max_record_bytes: usize,
}

impl Shared {
    pub(super) fn new(services: Arc<Services>, clock: Clock, run: &str, settings: &Settings) -> Self {
        let overall = settings.rate.map(|per_second| Limiter::new(RateLimit { per_second, burst: per_second }));
        let (otel, max_record_bytes) = (settings.otel, settings.limits.undeclared());
        let redaction = Arc::clone(&settings.redaction);
        Self { services, overall, clock, otel, run: run.to_owned(), redaction, max_record_bytes }
    }

    /// The attempt's span; none where nobody would see it (see [`trace`]).
    pub(super) fn span(&self, routed: &Routed, job: &Job<Arc<Delivery>>) -> Span {
        let Some(event) = job.payload.event() else { return Span::none() };
        let traceparent = if self.otel { job.payload.traceparent() } else { None };
        if routed.logs() || traceparent.as_deref().is_some_and(trace::is_sampled) {
            trace::span(event, &routed.route().name, job.attempt, traceparent.as_deref())
        } else {
            Span::none()
        }
    }
}
