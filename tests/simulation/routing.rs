//! Routes that change while the world runs: one version after another, and what all of them together have allowed.
//!
//! Events are of kinds; the first version has a route for each. A later one may have the routes in another order, take a
//! kind no longer, disable its route, and give it another policy or other handlers.

use coafi_core::engine::{HandlerList, Ordering, RouteId, RoutePolicy, Verdict};

use crate::handlers::Payload;
use crate::profile::{self, Profile};
use crate::random::Random;

/// Handlers by name, a bit each: what is said of them holds under every version.
pub(crate) type Names = u16;

/// What keeps a record's order: its route, and the key's hash where the route goes by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) route: RouteId,
    pub(crate) hash: u64,
}

#[derive(Clone, Debug)]
struct Route {
    policy: RoutePolicy,
    /// Names of its handlers, in order.
    handlers: Vec<u8>,
    /// Whether it takes its kind of events.
    takes: bool,
}

/// One version of the routes.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    /// By kind.
    routes: Vec<Route>,
    /// The kind of each route, by [`RouteId`].
    order: Vec<u8>,
}

impl Routing {
    pub(crate) fn first(profile: &Profile) -> Self {
        let route = |policy: &RoutePolicy| {
            let handlers = vec![0, 1, 2];
            Route { policy: RoutePolicy { handlers: list(&handlers), ..policy.clone() }, handlers, takes: true }
        };
        let routes: Vec<_> = profile.routes.iter().map(route).collect();
        Self { order: (0..routes.len() as u8).collect(), routes }
    }

    /// Another version. `enables` if no route of it is disabled.
    pub(crate) fn changed(&self, profile: &Profile, random: &mut Random, enables: bool) -> Self {
        let mut routes = self.routes.clone();
        for route in &mut routes {
            let policy = &route.policy;
            let ordering = match random.chance(50) {
                true => policy.ordering,
                false => random.pick(&[Ordering::Key, Ordering::Strict, Ordering::Partition, Ordering::None]),
            };
            if random.chance(50) {
                let lists = [&[0, 1, 2][..], &[2, 0, 1], &[1, 0], &[2], &[0, 1, 2, 3], &[3, 4]];
                route.handlers = random.pick(&lists).to_vec();
            }
            route.policy =
                profile::any_route(random, &profile.tiers, profile.halts, ordering, policy.dependencies.clone());
            route.policy.handlers = list(&route.handlers);
            if !enables && random.chance(15) {
                route.policy.concurrency = 0;
            }
            route.takes = !random.chance(10);
        }
        let mut order = self.order.clone();
        let (one, other) = (random.index(order.len()), random.index(order.len()));
        order.swap(one, other);
        Self { routes, order }
    }

    /// For the engine.
    pub(crate) fn policies(&self) -> Vec<RoutePolicy> {
        self.order.iter().map(|kind| self.policy(*kind).clone()).collect()
    }

    pub(crate) fn policy(&self, kind: u8) -> &RoutePolicy {
        &self.routes[usize::from(kind)].policy
    }

    /// Names of the handlers of a kind.
    pub(crate) fn handlers(&self, kind: u8) -> &[u8] {
        &self.routes[usize::from(kind)].handlers
    }

    /// The route that takes events of this kind.
    pub(crate) fn route(&self, kind: u8) -> Option<RouteId> {
        let index = self.order.iter().position(|other| *other == kind)?;
        self.routes[usize::from(kind)].takes.then_some(RouteId(index as u32))
    }

    pub(crate) fn verdict(&self, payload: &Payload) -> Verdict {
        match self.route(payload.kind) {
            Some(route) => Verdict::Routed { route, lane: lane_hash(payload.key) },
            None => Verdict::Unrecognised,
        }
    }

    pub(crate) fn lane(&self, payload: &Payload) -> Option<Lane> {
        let route = self.route(payload.kind)?;
        match self.policy(payload.kind).ordering {
            Ordering::None => None,
            Ordering::Partition => Some(Lane { route, hash: 0 }),
            Ordering::Key | Ordering::Strict => Some(Lane { route, hash: lane_hash(payload.key) }),
        }
    }

    /// The names of handlers that are said by position to be done. A position beyond the list is nobody's.
    pub(crate) fn names(&self, kind: u8, done: u16) -> Option<Names> {
        let handlers = self.handlers(kind);
        let all = (1u32 << handlers.len()) - 1;
        (u32::from(done) & !all == 0).then(|| {
            let named = handlers.iter().enumerate().filter(|(index, _)| done & (1 << index) != 0);
            named.fold(0, |names, (_, name)| names | 1 << name)
        })
    }

    /// The other way about: what a header names, by position.
    pub(crate) fn positions(&self, kind: u8, names: Names) -> u16 {
        let named = self.handlers(kind).iter().enumerate().filter(|(_, name)| names & (1 << **name) != 0);
        named.fold(0, |done, (index, _)| done | 1 << index)
    }
}

/// Records with the same key share a lane.
pub(crate) fn lane_hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn list(handlers: &[u8]) -> HandlerList {
    HandlerList(handlers.iter().fold(7, |hash: u64, name| (hash ^ u64::from(*name)).wrapping_mul(0x0100_0000_01b3)))
}

/// What the versions so far have allowed for one kind of events.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    pub(crate) max_attempts: u32,
    pub(crate) fault_attempts: u32,
    pub(crate) fewest_tiers: u32,
    /// Every version takes them.
    pub(crate) taken: bool,
    /// Every version keeps the same order.
    pub(crate) same_order: bool,
    /// Every version takes them, with the same handlers in the same order.
    pub(crate) same_handlers: bool,
}

/// All versions so far.
#[derive(Debug)]
pub(crate) struct Routings {
    versions: Vec<Routing>,
    allowed: Vec<Allowed>,
}

impl Routings {
    pub(crate) fn new(first: Routing) -> Self {
        let allowed = |route: &Route| Allowed {
            max_attempts: route.policy.retry.max_attempts(),
            fault_attempts: route.policy.retry.fault_attempts,
            fewest_tiers: route.policy.retry.tiers.len() as u32,
            taken: true,
            same_order: true,
            same_handlers: true,
        };
        Self { allowed: first.routes.iter().map(allowed).collect(), versions: vec![first] }
    }

    pub(crate) fn add(&mut self, routing: Routing) {
        for (allowed, (route, first)) in
            self.allowed.iter_mut().zip(routing.routes.iter().zip(&self.versions[0].routes))
        {
            let retry = &route.policy.retry;
            allowed.max_attempts = allowed.max_attempts.max(retry.max_attempts());
            allowed.fault_attempts = allowed.fault_attempts.max(retry.fault_attempts);
            allowed.fewest_tiers = allowed.fewest_tiers.min(retry.tiers.len() as u32);
            allowed.taken &= route.takes;
            allowed.same_order &= route.policy.ordering == first.policy.ordering;
            allowed.same_handlers &= route.handlers == first.handlers && route.takes;
        }
        self.versions.push(routing);
    }

    pub(crate) fn newest(&self) -> usize {
        self.versions.len() - 1
    }

    pub(crate) fn version(&self, version: usize) -> &Routing {
        &self.versions[version]
    }

    pub(crate) fn allowed(&self, kind: u8) -> &Allowed {
        &self.allowed[usize::from(kind)]
    }
}
