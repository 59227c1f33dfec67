//! Why partitions stand, as the status says it: the engine's reasons, with the errors that the driver saw go by.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::Application;
use super::driver::Driver;
use crate::engine::{Attempt, Class, Dependency, Finished, Hold, PartitionId, Reason, RouteId, Time};
use crate::event::Offset;

/// Errors of records that are kept: those of the lowest offsets, which hold positions.
const MAX_TROUBLES: usize = 1_000;

/// What one partition waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The lowest record that has not ended, and since when it has been that one.
    pub head: Option<(Offset, Time)>,
    /// By the records that they are about, the lowest first.
    pub reasons: Vec<Standstill>,
}

/// Why some records of a partition have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    pub hold: Hold,
    /// The lowest record; `None` where it is about all that comes.
    pub offset: Option<Offset>,
    pub route: Option<RouteId>,
    /// Attempts that the lowest record has used.
    pub attempts: u32,
    /// Records that wait for this.
    pub records: u64,
    /// Whose the lowest record is, where it says so; of records that wait for their tenant's bounds.
    pub tenant: Option<String>,
    /// How the last attempt failed, where this process saw it.
    pub trouble: Option<Trouble>,
}

/// A failed attempt, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub class: &'static str,
    pub code: String,
    /// Bounded by whoever makes it.
    pub message: String,
}

/// Errors that may have to be explained.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    records: BTreeMap<(PartitionId, Offset), Trouble>,
    dependencies: BTreeMap<Dependency, Trouble>,
}

impl Troubles {
    fn note(&mut self, partition: PartitionId, offset: Offset, class: &Class, trouble: Trouble) {
        if let Class::Systemic(dependency) = class {
            self.dependencies.entry(dependency.clone()).or_insert_with(|| trouble.clone());
        }
        self.records.insert((partition, offset), trouble);
        if self.records.len() > MAX_TROUBLES {
            self.records.pop_last();
        }
    }

    /// How receipts fail, if they do.
    pub(super) fn note_ledger(&mut self, error: Option<String>) {
        let message = error.unwrap_or_else(|| "receipts are not acknowledged".to_owned());
        let trouble = Trouble { class: "systemic", code: "receipts_not_acknowledged".to_owned(), message };
        // Forgotten with the outage, see `Driver::standing`.
        self.dependencies.insert(Dependency::new(Dependency::LEDGER), trouble);
    }

    /// How dependencies that are down failed first.
    pub(super) fn outages(&self) -> BTreeMap<Dependency, Trouble> {
        self.dependencies.clone()
    }

    fn of(&self, partition: PartitionId, reason: &Reason) -> Option<Trouble> {
        let of_dependency = match &reason.hold {
            Hold::Outage { dependency, .. } => self.dependencies.get(dependency),
            _ => None,
        };
        let of_record = || self.records.get(&(partition, reason.offset?));
        of_dependency.or_else(of_record).cloned()
    }
}

impl<A: Application> Driver<A> {
    /// Remembers how an attempt failed, if it did.
    pub(super) fn note_trouble(&mut self, finished: &Finished<A::Report>) {
        let (Attempt::Failed { class, .. }, Some(report)) = (&finished.verdict, &finished.report) else { return };
        if let Some(trouble) = self.application.trouble(report) {
            let ticket = finished.ticket;
            self.state.troubles.note(ticket.partition, ticket.offset, class, trouble);
        }
    }

    /// Says once of each outage that it has begun and that it is over.
    pub(super) fn tell_of_outages(&self, down: &[Dependency], unneeded: &[Dependency]) {
        let known = self.status.snapshot().open_circuits;
        for dependency in down.iter().filter(|dependency| !known.contains(dependency)) {
            let error = self.state.troubles.dependencies.get(dependency).map(|trouble| &*trouble.message);
            warn!(%dependency, error, "a dependency is down: what needs it waits, no attempt is used");
        }
        for dependency in known.iter().filter(|dependency| !down.contains(dependency)) {
            match unneeded.contains(dependency) {
                true => info!(%dependency, "nothing here waits for a dependency any more that was down"),
                false => info!(%dependency, "a dependency answers again"),
            }
        }
    }

    /// Of every partition. Errors that nothing waits for any more are forgotten.
    pub(super) fn standing(&mut self, now: Time) -> BTreeMap<PartitionId, Standing> {
        let mut all = BTreeMap::new();
        for inspection in self.engine.inspect() {
            let id = inspection.partition;
            let Some(owned) = self.partitions.by_id(id).owned.as_mut() else { continue };
            owned.head = inspection.head.map(|offset| match owned.head {
                Some((known, since)) if known == offset => (offset, since),
                _ => (offset, now),
            });
            let (troubles, engine, application) = (&self.state.troubles, &self.engine, &self.application);
            let tenant = |reason: &Reason| match reason.hold {
                Hold::Tenant { .. } => {
                    engine.payload(id, reason.offset?).and_then(|payload| application.tenant(payload))
                }
                _ => None,
            };
            let standstill = |reason: Reason| Standstill {
                tenant: tenant(&reason),
                trouble: troubles.of(id, &reason),
                hold: reason.hold,
                offset: reason.offset,
                route: reason.route,
                attempts: reason.attempts,
                records: reason.records,
            };
            let reasons = inspection.reasons.into_iter().map(standstill).collect();
            all.insert(id, Standing { head: owned.head, reasons });
        }
        let waits = |id: &PartitionId, offset: &Offset| {
            all.get(id).is_some_and(|standing: &Standing| standing.head.is_some_and(|(head, _)| head <= *offset))
        };
        self.state.troubles.records.retain(|(id, offset), _| waits(id, offset));
        let down: Vec<&Dependency> = self.engine.open_circuits().collect();
        self.state.troubles.dependencies.retain(|dependency, _| down.contains(&dependency));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(code: &str) -> Trouble {
        Trouble { class: "transient", code: code.to_owned(), message: String::new() }
    }

    #[test]
    fn the_lowest_records_are_remembered() {
        let mut troubles = Troubles::default();
        for offset in (0..i64::try_from(MAX_TROUBLES).unwrap() + 5).rev() {
            troubles.note(PartitionId(0), Offset(offset), &Class::Transient, trouble("x"));
        }
        assert_eq!(troubles.records.len(), MAX_TROUBLES);
        assert_eq!(troubles.records.first_key_value().unwrap().0.1, Offset(0));
    }

    #[test]
    fn an_outage_is_explained_by_the_first_failure_that_named_the_dependency() {
        let mut troubles = Troubles::default();
        let database = Dependency::new("database");
        troubles.note(PartitionId(0), Offset(7), &Class::Systemic(database.clone()), trouble("first"));
        troubles.note(PartitionId(0), Offset(8), &Class::Systemic(database.clone()), trouble("second"));
        let hold = Hold::Outage { dependency: database, since: Time(0) };
        let reason = Reason { hold, offset: Some(Offset(3)), route: None, attempts: 0, records: 1 };
        assert_eq!(troubles.of(PartitionId(0), &reason), Some(trouble("first")));
        let slot = Reason { hold: Hold::Slot, offset: Some(Offset(8)), ..reason };
        assert_eq!(troubles.of(PartitionId(0), &slot), Some(trouble("second")));
    }
}
