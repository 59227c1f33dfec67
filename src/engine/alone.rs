//! Records that wait alone: for one endpoint, Git host, channel or schema among many, which the others of their route may do
//! without ([`Dependency::is_one_of_many`]). Each waits at the head of its lane; no attempt is used.
//!
//! | circuit | a record that failed for want of it |
//! |---|---|
//! | closed | asks again soon, which decides what it was |
//! | opens, is open | waits, and has its handler look again from time to time: what it is about may need nothing any more |
//! | closes | asks again: its success is the proof that it is back |
//!
//! A route that declares it waits as a whole, as for whatever else it declares.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::Timer;
use super::outages::MAX_DEPENDENCIES;
use super::tracker::State;
use super::{Attempt, Class, Dependency, Engine, PartitionId, RouteId, Ticket};

/// Circuits of such dependencies. A handler that makes names up has its records wait without one.
const CIRCUITS_MAX: usize = 4 * MAX_DEPENDENCIES;

impl<P: Clone, R> Engine<P, R> {
    /// Whether an outage of it stops a route, and not only the records that need it.
    pub(super) fn stops_a_route(&self, dependency: &Dependency) -> bool {
        !dependency.is_one_of_many() || self.routes.iter().any(|route| route.policy.dependencies.contains(dependency))
    }

    pub(super) fn waits_alone(&self, route: RouteId, dependency: &Dependency) -> bool {
        dependency.is_one_of_many() && !self.policy(route).dependencies.contains(dependency)
    }

    /// The record has failed for want of it.
    pub(super) fn wait_alone(&mut self, ticket: Ticket, dependency: Dependency) {
        let Ticket { partition: id, sequence, .. } = ticket;
        let (probe, looks_every) = (self.settings.circuit.probe, self.settings.circuit.looks_every);
        let known = self.circuits.contains_key(&dependency);
        if !known && self.circuits.keys().filter(|one| one.is_one_of_many()).count() >= CIRCUITS_MAX {
            return self.delay(id, sequence, self.now + probe.cap);
        }
        self.note_systemic(&dependency);
        let looks_after = if self.circuits[&dependency].is_open() { looks_every } else { probe.initial };
        self.set_timer(self.now + looks_after, Timer::Looks(ticket));
        let Some(partition) = self.partition(id) else { return };
        partition.awaiting.insert(sequence, dependency);
        if let Some(entry) = partition.tracker.entry_mut(sequence) {
            entry.state = State::Parked;
        }
    }

    /// It is time for a record to look again, if it still waits. That it looked before, for another reason, costs nothing.
    pub(super) fn look_again(&mut self, ticket: Ticket) {
        let partition = self.live(ticket.partition, ticket.epoch);
        if partition.is_some_and(|partition| partition.awaiting.contains_key(&ticket.sequence)) {
            self.unpark(ticket);
        }
    }

    /// An attempt has ended, perhaps of a record that had waited.
    pub(super) fn has_asked(&mut self, id: PartitionId, sequence: u64, verdict: &Attempt) {
        let Some(partition) = self.partition(id).filter(|partition| !partition.awaiting.is_empty()) else { return };
        let Some(dependency) = partition.awaiting.get(&sequence) else { return };
        let still = match verdict {
            Attempt::Failed { class: Class::Systemic(other), .. } => other == dependency,
            Attempt::NotStarted | Attempt::Cancelled | Attempt::Fenced => true,
            Attempt::Succeeded | Attempt::Filtered | Attempt::Failed { .. } => false,
        };
        if still {
            return;
        }
        let Some(dependency) = partition.awaiting.remove(&sequence) else { return };
        if *verdict == Attempt::Succeeded
            && let Some(circuit) = self.circuits.get_mut(&dependency)
        {
            circuit.succeeded();
        }
        self.forget_if_unneeded(&dependency);
    }

    /// It is back, as far as a probe can tell.
    pub(super) fn ask_again(&mut self, dependency: &Dependency) {
        let mut tickets = Vec::new();
        for partition in self.partitions.iter().flatten() {
            let waiting = partition.awaiting.iter().filter(|(_, awaited)| *awaited == dependency);
            tickets.extend(waiting.filter_map(|(sequence, _)| {
                let offset = partition.tracker.entry(*sequence)?.offset;
                Some(Self::ticket(partition.id, partition.epoch, offset, *sequence))
            }));
        }
        tickets.into_iter().for_each(|ticket| self.unpark(ticket));
    }

    /// The routes are others, and what their records need may be too: all of them ask.
    pub(super) fn forget_awaited(&mut self) {
        for partition in self.partitions.iter_mut().flatten() {
            for sequence in std::mem::take(&mut partition.awaiting).into_keys() {
                if let Some(entry) = partition.tracker.entry_mut(sequence).filter(|e| e.state == State::Parked) {
                    entry.state = State::Waiting;
                }
            }
        }
        let alone: Vec<Dependency> = self.circuits.keys().filter(|d| !self.stops_a_route(d)).cloned().collect();
        alone.iter().for_each(|dependency| self.forget_circuit(dependency));
    }

    /// What records of a partition that is gone have waited for.
    pub(super) fn forget_those_of(&mut self, awaiting: BTreeMap<u64, Dependency>) {
        let awaited: BTreeSet<Dependency> = awaiting.into_values().collect();
        awaited.iter().for_each(|dependency| self.forget_if_unneeded(dependency));
    }

    /// Nobody asks whether it is back if nothing waits for it.
    fn forget_if_unneeded(&mut self, dependency: &Dependency) {
        let mut awaited = self.partitions.iter().flatten().flat_map(|partition| partition.awaiting.values());
        if !awaited.any(|awaited| awaited == dependency) && !self.stops_a_route(dependency) {
            self.forget_circuit(dependency);
        }
    }

    /// Whether it is back is not known.
    fn forget_circuit(&mut self, dependency: &Dependency) {
        if self.down.contains(dependency) && self.unneeded.len() < CIRCUITS_MAX {
            self.unneeded.insert(dependency.clone());
        }
        self.close_circuits(|gone| gone == dependency);
    }

    /// Dependencies of which the circuit was open when nothing waited for it any more, and has not opened since.
    pub fn unneeded(&self) -> impl Iterator<Item = &Dependency> {
        self.unneeded.iter()
    }
}
