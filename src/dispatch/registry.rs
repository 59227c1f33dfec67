//! The handlers that this binary has. They register themselves where they are defined; no list names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Family, Handler, HandlerError, Registration, Routes, Services};

/// Built handlers by route and position.
#[derive(Clone)]
pub struct Handlers {
    by_name: BTreeMap<String, Arc<dyn Handler>>,
    by_route: Vec<Vec<Arc<dyn Handler>>>,
}

impl Handlers {
    /// Every registration, by name.
    ///
    /// # Errors
    /// [`HandlerError::Duplicate`].
    pub fn registered() -> Result<BTreeMap<&'static str, &'static Registration>, HandlerError> {
        let mut all: BTreeMap<&'static str, &'static Registration> = BTreeMap::new();
        for registration in inventory::iter::<Registration> {
            if all.insert(registration.name, registration).is_some() {
                return Err(HandlerError::Duplicate { name: registration.name });
            }
        }
        Ok(all)
    }

    /// Builds each handler that a route names, once, unless it is among the `earlier` ones, and logs what is registered.
    ///
    /// # Errors
    /// A handler that is not registered, registered twice, or cannot start.
    pub fn build(routes: &Routes, services: &Services, earlier: Option<&Self>) -> Result<Self, HandlerError> {
        let registered = Self::registered()?;
        let mut built: BTreeMap<&str, Arc<dyn Handler>> = BTreeMap::new();
        for route in routes.list() {
            for name in &route.handlers {
                if built.contains_key(name.as_str()) {
                    continue;
                }
                let handler = match earlier.and_then(|earlier| earlier.by_name.get(name)) {
                    Some(there) => Arc::clone(there),
                    None => Self::build_one(name, &registered, services)?,
                };
                built.insert(name, handler);
            }
        }
        for name in built.keys().filter(|name| !registered.contains_key(*name)) {
            let summary = inventory::iter::<Family>.into_iter().find(|one| name.starts_with(one.prefix));
            let summary = summary.map_or("", |family| family.summary);
            tracing::info!(handler = name, routed = true, summary, "handler registered");
        }
        for (name, registration) in &registered {
            let routed = built.contains_key(name);
            tracing::info!(handler = name, routed, summary = registration.summary, "handler registered");
        }
        Ok(Self::by_name(routes, &built))
    }

    fn build_one(
        name: &str,
        registered: &BTreeMap<&'static str, &'static Registration>,
        services: &Services,
    ) -> Result<Arc<dyn Handler>, HandlerError> {
        let family =
            || inventory::iter::<Family>.into_iter().find_map(|one| Some((one, name.strip_prefix(one.prefix)?)));
        let built = match (registered.get(name), family()) {
            (Some(registration), _) => (registration.build)(services),
            (None, Some((family, of_it))) => (family.build)(of_it, services),
            (None, None) => {
                let known = registered.keys().copied().collect::<Vec<_>>().join(", ");
                return Err(HandlerError::Unknown { name: name.to_owned(), known });
            }
        };
        built.map_err(|source| HandlerError::Build { name: name.to_owned(), source })
    }

    /// Handlers made elsewhere: for tests and embedding.
    ///
    /// # Panics
    /// If a route names one that is not there.
    #[must_use]
    pub fn by_name(routes: &Routes, built: &BTreeMap<&str, Arc<dyn Handler>>) -> Self {
        let of_route = |route: &super::Route| {
            route.handlers.iter().map(|name| Arc::clone(&built[name.as_str()])).collect::<Vec<_>>()
        };
        Self {
            by_route: routes.list().iter().map(of_route).collect(),
            by_name: built.iter().map(|(name, handler)| ((*name).to_owned(), Arc::clone(handler))).collect(),
        }
    }

    pub(super) fn of(&self, route: crate::engine::RouteId) -> &[Arc<dyn Handler>] {
        &self.by_route[route.0 as usize]
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handlers({} routes)", self.by_route.len())
    }
}
