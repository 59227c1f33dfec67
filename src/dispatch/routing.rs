//! One version of the routes with what carries them out: built handlers, rate limiters, the lookup's cache.
//!
//! Everything that is decided about a record under these routes holds on to them ([`Routed`]), so that an attempt that began
//! before a change ends as it began, and its outcome names the version that it was made under. The last such record that
//! ends takes the old version with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::rate::Limiter;
use super::routes::RouteCache;
use super::{Handler, HandlerError, Handlers, Route, Routes, Services};
use crate::engine::{RouteId, RoutePolicy};

pub struct Routing {
    routes: Arc<Routes>,
    handlers: Handlers,
    cache: RouteCache,
    /// By route.
    limiters: Vec<Option<Arc<Limiter>>>,
    /// By route: whether a handler of it may log.
    logs: Vec<bool>,
    /// By route and handler: `{"handler":"name"}`, the detail of the commonest steps.
    details: Vec<Vec<String>>,
    retired: AtomicBool,
}

impl Routing {
    /// Builds what the routes need.
    ///
    /// # Errors
    /// A handler that is not registered, registered twice, or cannot start.
    pub fn build(routes: Arc<Routes>, services: &Services) -> Result<Arc<Self>, HandlerError> {
        let handlers = Handlers::build(&routes, services, None)?;
        Ok(Arc::new(Self::new(routes, handlers)))
    }

    /// The version that follows. Handlers that there are already stay, and so does what a rate limit has counted unless it is
    /// another one.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn followed_by(&self, routes: Arc<Routes>, services: &Services) -> Result<Arc<Self>, HandlerError> {
        let handlers = Handlers::build(&routes, services, Some(&self.handlers))?;
        let mut next = Self::new(routes, handlers);
        for (index, route) in next.routes.list().iter().enumerate() {
            let same = |old: &Route| old.name == route.name && old.rate_limit == route.rate_limit;
            if let Some(old) = self.routes.list().iter().position(same) {
                next.limiters[index].clone_from(&self.limiters[old]);
            }
        }
        Ok(Arc::new(next))
    }

    pub(super) fn new(routes: Arc<Routes>, handlers: Handlers) -> Self {
        let detail = |name: &String| serde_json::json!({ "handler": name }).to_string();
        let ids = (0..).map(RouteId).take(routes.list().len());
        Self {
            cache: RouteCache::new(&routes),
            limiters: routes.list().iter().map(|route| route.rate_limit.map(|it| Arc::new(Limiter::new(it)))).collect(),
            logs: ids.map(|id| handlers.of(id).iter().any(|handler| handler.logs())).collect(),
            details: routes.list().iter().map(|route| route.handlers.iter().map(detail).collect()).collect(),
            retired: AtomicBool::new(false),
            routes,
            handlers,
        }
    }

    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// For the engine.
    #[must_use]
    pub fn policies(&self) -> Vec<RoutePolicy> {
        self.routes.policies()
    }

    /// Others are in force: what no handler has begun with under these is given back.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The route that takes such an event.
    pub(super) fn find(self: &Arc<Self>, topic: &str, event_type: &str, source: &str) -> Option<Routed> {
        let id = self.cache.find(&self.routes, topic, event_type, source)?;
        Some(Routed { routing: Arc::clone(self), id })
    }
}

impl fmt::Debug for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routing({})", self.routes.version())
    }
}

/// A route of one version.
#[derive(Clone)]
pub struct Routed {
    routing: Arc<Routing>,
    id: RouteId,
}

impl Routed {
    #[must_use]
    pub fn id(&self) -> RouteId {
        self.id
    }

    #[must_use]
    pub fn route(&self) -> &Route {
        self.routing.routes.route(self.id)
    }

    /// Of the routes that it is one of.
    #[must_use]
    pub fn version(&self) -> &str {
        self.routing.routes.version()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.routing.is_retired()
    }

    pub(super) fn handlers(&self) -> &[Arc<dyn Handler>] {
        self.routing.handlers.of(self.id)
    }

    pub(super) fn limiter(&self) -> Option<&Limiter> {
        self.routing.limiters[self.id.0 as usize].as_deref()
    }

    pub(super) fn logs(&self) -> bool {
        self.routing.logs[self.id.0 as usize]
    }

    pub(super) fn details(&self) -> &[String] {
        &self.routing.details[self.id.0 as usize]
    }
}

impl PartialEq for Routed {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.version()) == (other.id, other.version())
    }
}

impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.route().name, self.version())
    }
}
