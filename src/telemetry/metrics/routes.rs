//! Which routes are in force, and how their reloads went.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

#[derive(Clone, Debug, Default)]
struct Reloads {
    version: Option<Arc<str>>,
    /// Seconds since the Unix epoch at which they came into force.
    since_s: u64,
    taken: u64,
    refused: u64,
    last_refused: bool,
}

/// Written at a reload, read per scrape.
#[derive(Debug, Default)]
pub(super) struct Routes(Mutex<Reloads>);

impl Routes {
    /// These are in force from the start.
    pub(super) fn in_force(&self, version: &str, now_s: u64) {
        let mut reloads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (reloads.version, reloads.since_s) = (Some(version.into()), now_s);
    }

    /// The file was looked at again: these are in force now, or it was refused.
    pub(super) fn reloaded(&self, version: Option<&str>, now_s: u64) {
        let mut reloads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reloads.last_refused = version.is_none();
        match version {
            Some(version) if reloads.version.as_deref() != Some(version) => {
                reloads.taken += 1;
                (reloads.version, reloads.since_s) = (Some(version.into()), now_s);
            }
            Some(_) => {}
            None => reloads.refused += 1,
        }
    }

    /// A process without routes has no values.
    fn read(&self) -> Option<Reloads> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).filter(|it| it.version.is_some())
    }
}

type Value = fn(&Reloads) -> u64;

/// Makes the instruments.
pub(super) fn observe(routes: &Arc<Routes>, meter: &Meter) {
    let counters: [(&'static str, &'static str, Value); 2] = [
        ("coafi_routes_reloads", "Times that changed routes came into force", |it| it.taken),
        ("coafi_routes_reload_failures", "Times that a changed routes file was refused", |it| it.refused),
    ];
    for (name, description, value) in counters {
        let routes = Arc::clone(routes);
        let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            routes.read().iter().for_each(|it| observer.observe(value(it), &[]));
        };
        meter.u64_observable_counter(name).with_description(description).with_callback(callback).build();
    }
    let gauges: [(&'static str, &'static str, Value); 2] = [
        ("coafi_routes_in_force_since_seconds", "Unix time at which these routes came into force", |it| it.since_s),
        ("coafi_routes_last_reload_successful", "0 while the routes file is one that was refused", |it| {
            u64::from(!it.last_refused)
        }),
    ];
    for (name, description, value) in gauges {
        let routes = Arc::clone(routes);
        let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            routes.read().iter().for_each(|it| observer.observe(value(it), &[]));
        };
        meter.u64_observable_gauge(name).with_description(description).with_callback(callback).build();
    }
    let routes = Arc::clone(routes);
    meter
        .u64_observable_gauge("coafi_routes")
        .with_description("The version of the routes in force")
        .with_callback(move |observer| {
            if let Some(version) = routes.read().and_then(|it| it.version) {
                observer.observe(1, &[KeyValue::new("version", version)]);
            }
        })
        .build();
}
