//! Systemic failures: circuits of dependencies, and the same error across lanes.
//!
//! A transient failure is held back until it is known what it was: a success of its route makes it one of the record's
//! own, the same error in enough lanes makes it an outage, and `decide_within` ends the doubt in the record's disfavour.
//! In an outage no attempt is used.

use super::circuit::{Change, Circuit};
use super::machine::Timer;
use super::tracker::State;
use super::{Class, Dependency, Effect, Engine, Incident, PartitionId, RouteId, Ticket, Time};

/// Dependencies that a route may be found to have besides those it declares.
pub(super) const MAX_DEPENDENCIES: usize = 16;

/// A failed attempt that is held back.
#[derive(Debug)]
pub(super) struct Suspended<R> {
    pub(super) ticket: Ticket,
    pub(super) class: Class,
    pub(super) report: Option<R>,
}

/// Failures of one route since its last success, all with the same code. One per lane: a lane waits for its head.
#[derive(Debug)]
pub(super) struct Streak<R> {
    code: u64,
    held: Vec<Suspended<R>>,
}

impl<R> Streak<R> {
    pub(super) fn into_held(self) -> Vec<Suspended<R>> {
        self.held
    }
}

/// The name of what the records of one route share, when it seems to be down.
const OF_ROUTE: &str = "route:";

/// The route whose failures made this dependency up.
pub(super) fn route_of(dependency: &Dependency) -> Option<&str> {
    dependency.0.strip_prefix(OF_ROUTE)
}

impl<R> Default for Streak<R> {
    fn default() -> Self {
        Self { code: 0, held: Vec::new() }
    }
}

impl<P: Clone, R> Engine<P, R> {
    /// Whether a dependency of the route is down. Every route needs the ledger: without receipts nothing can be committed (I2).
    pub(super) fn is_down(&self, route: RouteId) -> bool {
        self.what_is_down(route).is_some()
    }

    /// The first dependency of the route that is down.
    pub(super) fn what_is_down(&self, route: RouteId) -> Option<&Dependency> {
        let declared = || self.policy(route).dependencies.iter().find_map(|dependency| self.down.get(dependency));
        self.ledger_down().or_else(declared)
    }

    pub(super) fn ledger_down(&self) -> Option<&Dependency> {
        self.down.iter().find(|dependency| &*dependency.0 == Dependency::LEDGER)
    }

    /// Names of the dependencies whose circuit is open.
    pub fn open_circuits(&self) -> impl Iterator<Item = &Dependency> {
        self.down.iter()
    }

    /// Receipts have not been acknowledged for long, or they all are again. Nobody is asked in between: those that are
    /// outstanding are produced until they are acknowledged. Nor does a transaction wait for it: one that is open for too long
    /// is ended by whoever coordinates it, and what was in it would have to be done again. So it is aborted, and its outputs
    /// are staged again when the ledger is back.
    pub fn ledger_answers(&mut self, now: Time, answers: bool) {
        self.input(now);
        let (now, random) = (self.now, self.random());
        let dependency = Dependency::new(Dependency::LEDGER);
        let circuit = self.circuits.entry(dependency.clone()).or_insert_with(Circuit::new);
        let change = match (circuit.is_open(), answers) {
            (false, false) => circuit.open(now, &self.settings.circuit, random),
            (true, true) => circuit.probed(now, true, &self.settings.circuit, random),
            (true, false) | (false, true) => Change::None,
        };
        if answers {
            circuit.succeeded();
        }
        let opened = change == Change::Opened;
        self.circuit_changed(&dependency, change);
        if opened {
            self.abort();
        }
    }

    /// The record waits at the head of its lane until the dependency answers: as its whole route does, unless it is one that
    /// only some of its records need.
    pub(super) fn wait_for_dependency(&mut self, ticket: Ticket, route: RouteId, dependency: Dependency) {
        if self.waits_alone(route, &dependency) {
            return self.wait_alone(ticket, dependency);
        }
        let probe = self.settings.circuit.probe;
        let declared = &mut self.routes[route.0 as usize].policy.dependencies;
        if !declared.contains(&dependency) {
            if declared.len() >= MAX_DEPENDENCIES {
                // A handler that makes names up has circuits enough: this record waits alone, without one.
                self.delay(ticket.partition, ticket.sequence, self.now + probe.cap);
                return;
            }
            declared.push(dependency.clone());
        }
        self.note_systemic(&dependency);
        if !self.circuits[&dependency].is_open() {
            // Not decided yet: the same record asks again soon, which decides it.
            self.delay(ticket.partition, ticket.sequence, self.now + probe.initial);
        }
    }

    /// Somebody found it down.
    pub(super) fn note_systemic(&mut self, dependency: &Dependency) {
        let (now, random) = (self.now, self.random());
        let circuit = self.circuits.entry(dependency.clone()).or_insert_with(Circuit::new);
        let change = circuit.failed(now, &self.settings.circuit, random);
        self.circuit_changed(dependency, change);
    }

    /// Holds a transient failure back until it is decided what it was.
    pub(super) fn suspend(&mut self, route: RouteId, code: u64, suspended: Suspended<R>) {
        let (now, decide_within) = (self.now, self.settings.circuit.decide_within);
        let lanes = self.settings.circuit.same_error_lanes as usize;
        // An outage that was declared lasts until a success: until then one failure of its kind is enough.
        let unproven = self.circuits.get(&outage_of(route)).is_some_and(Circuit::is_unproven);
        let known = unproven && self.routes[route.0 as usize].streak.code == code;
        if self.routes[route.0 as usize].streak.code != code {
            self.decide(route);
        }
        let Ticket { partition, sequence, .. } = suspended.ticket;
        if let Some(entry) = self.partition(partition).and_then(|partition| partition.tracker.entry_mut(sequence)) {
            entry.state = State::Suspected;
        }
        let streak = &mut self.routes[route.0 as usize].streak;
        streak.code = code;
        streak.held.push(suspended);
        if streak.held.len() >= lanes || known {
            self.declare_outage(route);
        } else if streak.held.len() == 1 {
            self.set_timer(now + decide_within, Timer::Decide(route));
        }
    }

    /// The held-back failures are the records' own: their attempts count.
    pub(super) fn decide(&mut self, route: RouteId) {
        for suspended in std::mem::take(&mut self.routes[route.0 as usize].streak.held) {
            if let Some(lane) = self.resume_suspended(&suspended.ticket) {
                let id = suspended.ticket.partition;
                self.failed(suspended.ticket, suspended.class, suspended.report);
                self.unblock(id, lane);
                if let Some(partition) = self.partition(id) {
                    partition.lanes.release_if_empty(lane);
                }
            }
        }
    }

    /// The same error in enough lanes and no success in between: what they share is down. No attempt is used.
    fn declare_outage(&mut self, route: RouteId) {
        let held = std::mem::take(&mut self.routes[route.0 as usize].streak.held);
        let dependency = outage_of(route);
        let declared = &mut self.routes[route.0 as usize].policy.dependencies;
        if !declared.contains(&dependency) {
            declared.push(dependency.clone());
        }
        let (now, random) = (self.now, self.random());
        let settings = self.settings.circuit.clone();
        let circuit = self.circuits.entry(dependency.clone()).or_insert_with(Circuit::new);
        // What was running when it opened fails as well, and says nothing new.
        let change = if circuit.is_open() { Change::None } else { circuit.open(now, &settings, random) };
        self.circuit_changed(&dependency, change);
        for suspended in held {
            if let Some(lane) = self.resume_suspended(&suspended.ticket) {
                self.unblock(suspended.ticket.partition, lane);
            }
        }
    }

    /// A held-back record waits again; gives its lane.
    pub(super) fn resume_suspended(&mut self, ticket: &Ticket) -> Option<u32> {
        let partition = self.live(ticket.partition, ticket.epoch)?;
        let entry = partition.tracker.entry_mut(ticket.sequence).filter(|entry| entry.state == State::Suspected)?;
        entry.state = State::Waiting;
        Some(entry.lane)
    }

    /// A revoked partition's held-back failures use no attempt: the next owner will see.
    pub(super) fn drop_suspected(&mut self, id: PartitionId) {
        for index in 0..self.routes.len() {
            let held = std::mem::take(&mut self.routes[index].streak.held);
            let (dropped, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.ticket.partition == id);
            self.routes[index].streak.held = kept;
            for suspended in dropped {
                self.resume_suspended(&suspended.ticket);
            }
        }
    }

    pub(super) fn note_success(&mut self, route: RouteId) {
        if !self.routes[route.0 as usize].streak.held.is_empty() {
            self.decide(route);
        }
        if !self.circuits.is_empty() {
            for dependency in &self.routes[route.0 as usize].policy.dependencies {
                if let Some(circuit) = self.circuits.get_mut(dependency) {
                    circuit.succeeded();
                }
            }
        }
    }

    /// The answer to [`Effect::Probe`].
    pub fn probed(&mut self, now: Time, dependency: &Dependency, up: bool) {
        self.input(now);
        let (now, random) = (self.now, self.random());
        let Some(circuit) = self.circuits.get_mut(dependency) else { return };
        let change = circuit.probed(now, up, &self.settings.circuit, random);
        self.circuit_changed(dependency, change);
    }

    pub(super) fn tend_circuits(&mut self) {
        for dependency in self.down.clone() {
            let Some(circuit) = self.circuits.get_mut(&dependency) else { continue };
            if let Some(lasted) = circuit.escalation(self.now, &self.settings.circuit) {
                let incident = Incident::Outage { dependency: dependency.clone(), lasted };
                self.effects.push_back(Effect::Escalate(incident));
            }
            if circuit.probe_is_due(self.now) && &*dependency.0 != Dependency::LEDGER {
                self.effects.push_back(Effect::Probe(dependency));
            }
        }
    }

    /// These dependencies are none any more.
    pub(super) fn close_circuits(&mut self, gone: impl Fn(&Dependency) -> bool) {
        self.circuits.retain(|dependency, _| !gone(dependency));
        for dependency in self.down.iter().filter(|dependency| gone(dependency)).cloned().collect::<Vec<_>>() {
            self.circuit_changed(&dependency, Change::Closed);
        }
    }

    /// Whether a route, or everything, waits for something that is down. Records that wait alone stop nothing else: what dies
    /// beside them was not waiting.
    pub(super) fn stands_still(&self) -> bool {
        self.down.iter().any(|dependency| self.stops_a_route(dependency))
    }

    fn circuit_changed(&mut self, dependency: &Dependency, change: Change) {
        let stood_still = self.stands_still();
        match change {
            Change::None => return,
            Change::Opened => {
                self.unneeded.remove(dependency);
                self.down.insert(dependency.clone())
            }
            Change::Closed => self.down.remove(dependency),
        };
        if change == Change::Closed {
            self.ask_again(dependency);
        }
        if stood_still != self.stands_still() {
            // The dirty marks change with it: an outage condemns no record.
            let ids: Vec<PartitionId> = self.partitions.iter().flatten().map(|partition| partition.id).collect();
            ids.into_iter().for_each(|id| self.note_change(id));
        }
    }
}

/// What the lanes of a route share that fail alike, whatever it is.
fn outage_of(route: RouteId) -> Dependency {
    Dependency::new(&format!("{OF_ROUTE}{}", route.0))
}
