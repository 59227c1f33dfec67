//! What every attempt needs, made once.

use std::sync::Arc;

use tracing::Span;

use super::delivery::Delivery;
use super::dispatcher::Settings;
use super::rate::Limiter;
use super::routes::RateLimit;
use super::{Handlers, Route, Routes, Services, trace};
use crate::engine::{Job, RouteId};
use crate::runtime::Clock;

pub(super) struct Shared {
    pub(super) routes: Arc<Routes>,
    pub(super) handlers: Handlers,
    pub(super) services: Arc<Services>,
    /// Of all routes together.
    pub(super) overall: Option<Limiter>,
    /// By route.
    limiters: Vec<Option<Limiter>>,
    /// By route: whether a handler of it may log.
    logs: Vec<bool>,
    pub(super) clock: Clock,
    /// Whether OpenTelemetry is on.
    pub(super) otel: bool,
    /// Which run over the topics this is.
    pub(super) run: String,
    /// What a derived event must fit.
    pub(super) max_record_bytes: usize,
}

impl Shared {
    pub(super) fn new(
        routes: Arc<Routes>,
        handlers: Handlers,
        services: Arc<Services>,
        clock: Clock,
        run: &str,
        settings: &Settings,
    ) -> Self {
        let limiters = routes.list().iter().map(|route| route.rate_limit.map(Limiter::new)).collect();
        let overall = settings.rate.map(|per_second| Limiter::new(RateLimit { per_second, burst: per_second }));
        let ids = (0..).map(RouteId).take(routes.list().len());
        let logs = ids.map(|id| handlers.of(id).iter().any(|handler| handler.logs())).collect();
        let (otel, max_record_bytes) = (settings.otel, settings.limits.undeclared());
        Self { routes, handlers, services, overall, limiters, logs, clock, otel, run: run.to_owned(), max_record_bytes }
    }

    pub(super) fn limiter(&self, route: RouteId) -> Option<&Limiter> {
        self.limiters[route.0 as usize].as_ref()
    }

    /// The attempt's span; none where nobody would see it (see [`trace`]).
    pub(super) fn span(&self, route: &Route, job: &Job<Arc<Delivery>>) -> Span {
        let Some(event) = job.payload.event() else { return Span::none() };
        let traceparent = if self.otel { job.payload.traceparent() } else { None };
        if self.logs[job.route.0 as usize] || traceparent.as_deref().is_some_and(trace::is_sampled) {
            trace::span(event, &route.name, job.attempt, traceparent.as_deref())
        } else {
            Span::none()
        }
    }
}
