//! Other routes for a running replica.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use super::Application;
use super::inbox::Input;
use crate::engine::RoutePolicy;

/// The routes that the poll thread is to take next: only the latest count.
pub(super) struct NextRoutes<T>(Slot<T>);

type Slot<T> = Arc<Mutex<Option<(T, Vec<RoutePolicy>)>>>;

impl<T> NextRoutes<T> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn take(&self) -> Option<(T, Vec<RoutePolicy>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, routes: T, policies: Vec<RoutePolicy>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((routes, policies));
    }
}

impl<T> Clone for NextRoutes<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Gives a running replica other routes.
pub struct Rerouter<A: Application> {
    pub(super) next: NextRoutes<A::Routes>,
    pub(super) inbox: Sender<Input<A::Payload, A::Report>>,
}

impl<A: Application> Rerouter<A> {
    /// From the poll thread's next turn on these are in force. `policies`: in the order of the application's route ids.
    pub fn reroute(&self, routes: A::Routes, policies: Vec<RoutePolicy>) {
        self.next.put(routes, policies);
        // A replica that has ended needs no routes.
        let _ = self.inbox.send(Input::Reroute);
    }
}

impl<A: Application> std::fmt::Debug for Rerouter<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rerouter")
    }
}
