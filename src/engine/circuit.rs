//! Circuits: whether a dependency is taken to be down.
//!
//! | state | systemic failure | success of a route that needs it | time |
//! |---|---|---|---|
//! | closed | counts; opens at `failures`, or `decide_within` after the first | forgets the count | – |
//! | open | – | – | asks at `probe_at`; escalates once after `escalate_after` |
//! | open, asked | – | – | waits for the answer: up closes, down backs off |
//!
//! An answer to a probe alone is no proof of health: openings without a success in between are one outage, which lasts from
//! the first of them.

use super::{CircuitSettings, Time};

#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// Times that it opened without a success in between.
    openings: u32,
    /// When the first of them was.
    since: Time,
    /// It was said that this lasts too long.
    escalated: bool,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32, first: Time },
    Open { probes: u32, probe_at: Option<Time> },
}

/// What became of a circuit by an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Opened,
    Closed,
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self { state: State::Closed { failures: 0, first: Time(0) }, openings: 0, since: Time(0), escalated: false }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Open, or closed by an answer to a probe with no success since.
    pub(super) fn is_unproven(&self) -> bool {
        self.openings > 0
    }

    /// When the outage began, if it is not over.
    pub(super) fn since(&self) -> Option<Time> {
        self.is_unproven().then_some(self.since)
    }

    pub(super) fn failed(&mut self, now: Time, settings: &CircuitSettings, random: u64) -> Change {
        let State::Closed { failures, first } = &mut self.state else { return Change::None };
        if *failures == 0 {
            *first = now;
        }
        *failures += 1;
        if *failures >= settings.failures || now - *first >= settings.decide_within {
            return self.open(now, settings, random);
        }
        Change::None
    }

    /// Opens without counting: the same error was seen across enough lanes.
    pub(super) fn open(&mut self, now: Time, settings: &CircuitSettings, random: u64) -> Change {
        if self.openings == 0 {
            (self.since, self.escalated) = (now, false);
        }
        self.openings = self.openings.saturating_add(1);
        let probe_at = now + settings.probe.delay(self.openings, random);
        self.state = State::Open { probes: self.openings, probe_at: Some(probe_at) };
        Change::Opened
    }

    pub(super) fn succeeded(&mut self) {
        if let State::Closed { failures, .. } = &mut self.state {
            *failures = 0;
            self.openings = 0;
        }
    }

    /// Whether it is time to ask; then it waits for [`Circuit::probed`].
    pub(super) fn probe_is_due(&mut self, now: Time) -> bool {
        match &mut self.state {
            State::Open { probe_at, .. } => probe_at.take_if(|at| *at <= now).is_some(),
            State::Closed { .. } => false,
        }
    }

    pub(super) fn probed(&mut self, now: Time, up: bool, settings: &CircuitSettings, random: u64) -> Change {
        let State::Open { probes, probe_at } = &mut self.state else { return Change::None };
        if up {
            self.state = State::Closed { failures: 0, first: now };
            return Change::Closed;
        }
        *probes = probes.saturating_add(1);
        *probe_at = Some(now + settings.probe.delay(*probes, random));
        Change::None
    }

    /// How long the outage has lasted, the first time that this is too long.
    pub(super) fn escalation(&mut self, now: Time, settings: &CircuitSettings) -> Option<std::time::Duration> {
        if !self.is_open() {
            return None;
        }
        let lasted = now - self.since;
        (lasted >= settings.escalate_after && !std::mem::replace(&mut self.escalated, true)).then_some(lasted)
    }

    /// When it wants a tick.
    pub(super) fn wake_at(&self, settings: &CircuitSettings) -> Option<Time> {
        let State::Open { probe_at, .. } = &self.state else { return None };
        let escalation = (!self.escalated).then(|| self.since + settings.escalate_after);
        probe_at.iter().copied().chain(escalation).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::retry::Backoff;
    use super::*;

    fn settings() -> CircuitSettings {
        CircuitSettings {
            failures: 3,
            decide_within: Duration::from_millis(100),
            same_error_lanes: 5,
            probe: Backoff { initial: Duration::from_millis(10), cap: Duration::from_secs(1) },
            looks_every: Duration::from_secs(30),
            escalate_after: Duration::from_secs(60),
        }
    }

    #[test]
    fn opens_after_enough_failures_or_enough_time_and_a_success_forgets() {
        let mut circuit = Circuit::new();
        assert_eq!(circuit.failed(Time(0), &settings(), 0), Change::None);
        assert_eq!(circuit.failed(Time(1), &settings(), 0), Change::None);
        circuit.succeeded();
        assert_eq!(circuit.failed(Time(2), &settings(), 0), Change::None);
        assert_eq!(circuit.failed(Time(3), &settings(), 0), Change::None);
        assert_eq!(circuit.failed(Time(4), &settings(), 0), Change::Opened);
        let mut slow = Circuit::new();
        slow.failed(Time(0), &settings(), 0);
        assert_eq!(slow.failed(Time(100_000), &settings(), 0), Change::Opened);
    }

    #[test]
    fn asks_once_at_a_time_backs_off_and_escalates_once() {
        let (mut circuit, settings) = (Circuit::new(), settings());
        circuit.open(Time(0), &settings, 10_000);
        let due = circuit.wake_at(&settings).unwrap();
        assert!(!circuit.probe_is_due(Time(due.0 - 1)));
        assert!(circuit.probe_is_due(due) && !circuit.probe_is_due(due));
        assert_eq!(circuit.probed(due, false, &settings, 20_000), Change::None);
        assert!(circuit.wake_at(&settings).unwrap() > due);
        let late = Time(61_000_000);
        assert!(circuit.escalation(late, &settings).is_some());
        assert_eq!(circuit.escalation(late, &settings), None);
        assert_eq!(circuit.probed(late, true, &settings, 0), Change::Closed);
        assert!(!circuit.is_open());
    }

    #[test]
    fn an_outage_lasts_until_something_succeeds_whatever_probes_say() {
        let (mut circuit, settings) = (Circuit::new(), settings());
        let seconds = |n: u64| Time(n * 1_000_000);
        for n in [0, 20, 40] {
            assert_eq!(circuit.open(seconds(n), &settings, 0), Change::Opened);
            assert_eq!(circuit.escalation(seconds(n), &settings), None);
            assert_eq!(circuit.probed(seconds(n + 1), true, &settings, 0), Change::Closed);
        }
        circuit.open(seconds(60), &settings, 0);
        assert_eq!(circuit.escalation(seconds(60), &settings), Some(Duration::from_secs(60)));
        circuit.probed(seconds(61), true, &settings, 0);
        circuit.open(seconds(80), &settings, 0);
        assert_eq!(circuit.escalation(seconds(80), &settings), None);
        circuit.probed(seconds(81), true, &settings, 0);
        circuit.succeeded();
        circuit.open(seconds(100), &settings, 0);
        assert_eq!(circuit.escalation(seconds(159), &settings), None);
        assert_eq!(circuit.escalation(seconds(160), &settings), Some(Duration::from_secs(60)));
    }
}
