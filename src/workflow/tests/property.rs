//! Whatever is delivered twice, out of order or not at all because a process died: a run ends as it would without, and no
//! step has its effect twice. `WORKFLOW_SEED` runs one seed.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;

use super::{action, advance, defined, start};
use crate::workflow::{Action, Command, Definition, Fault, Input, Kind, Path, Run, RunStatus};

const SEEDS: u64 = 400;
/// Events of one run; more never happen.
const EVENTS_MAX: usize = 5_000;

const STEPS: &str = "- {id: a, transform: =input.n}
- id: many
  for_each:
    items: input.list
    steps:
      - {id: one, transform: =item, retry: {attempts: 3, backoff: {initial: 100ms}}}
      - id: pick
        switch:
          cases: [{when: steps.one.output > 2, steps: [{id: big, transform: =item * 10}, {id: pause, wait: 1s}]}]
          otherwise: [{id: small, transform: '=index'}]
- id: side
  after: [a]
  parallel:
    - {id: left, transform: left, retry: {attempts: 2}}
    - {id: right, after: [left], transform: =steps.left.output}
    - {id: alone, transform: 1}
- {id: answer, after: [a], wait_for: {type: t, correlate: data.x, equals: =input.n, within: 1h}}
- {id: sub, after: [answer], call: {workflow: Child, input: {n: =steps.answer.output}}}
- {id: last, after: [many, side, sub], transform: '=steps.many.output.size()'}
";

/// A linear congruential generator is enough to pick from a handful of things.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: usize) -> Self {
        Self(seed as u64)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// What is kept when a process dies: the database, and the topic.
struct Kept {
    run: Run,
    /// Attempts that are due, in no order that anybody may rely on.
    topic: VecDeque<(Path, u32)>,
    /// How often each step's effect was committed.
    effects: BTreeMap<Path, u32>,
    ends: u32,
}

impl Kept {
    fn new(definition: &Definition) -> Self {
        let started = start(definition, "wf", json!({"n": 1, "list": [1, 2, 3, 4]}));
        let mut kept = Self { run: started.run, topic: VecDeque::new(), effects: BTreeMap::new(), ends: 0 };
        kept.follow(&started.commands);
        kept
    }

    fn follow(&mut self, commands: &[Command]) {
        for command in commands {
            match command {
                // Of a step that waits for an event: that event, since its time is never over here.
                Command::Run { step, attempt, .. } | Command::Call { step, attempt, .. } => {
                    self.topic.push_back((step.clone(), *attempt));
                }
                Command::CancelChild { .. } => {}
                Command::End => self.ends += 1,
            }
        }
    }

    /// One event: a process that dies before its transaction is committed leaves everything as it was.
    fn handle(&mut self, definition: &Definition, step: &Path, attempt: u32, fails: bool, dies: bool) {
        if !self.run.awaits(step, attempt) {
            return;
        }
        let waits = definition.step(step.id()).is_some_and(|s| matches!(s.kind, Kind::WaitFor(_) | Kind::Call(_)));
        let act =
            || if waits { Ok(Action::Nothing(json!(step.as_str()))) } else { action(definition, &self.run, step) };
        let result = match act().unwrap() {
            _ if fails => Err(Fault::new("no", "not now")),
            Action::Nothing(output) => Ok(output),
            other => panic!("{other:?}"),
        };
        let succeeded = result.is_ok();
        let advanced = advance(definition, &self.run, Input::Finished { step: step.clone(), attempt, result }).unwrap();
        if dies {
            return;
        }
        self.run = advanced.run;
        self.follow(&advanced.commands);
        if succeeded {
            *self.effects.entry(step.clone()).or_default() += 1;
        }
    }
}

/// In order, nobody dies, nothing fails.
fn straight(definition: &Definition) -> (Kept, usize) {
    let (mut kept, mut events) = (Kept::new(definition), 0);
    while let Some((step, attempt)) = kept.topic.pop_front() {
        kept.handle(definition, &step, attempt, false, false);
        events += 1;
    }
    assert_eq!((kept.run.status, kept.ends), (RunStatus::Completed, 1), "{:?}", kept.run);
    (kept, events)
}

fn is_as(kept: &Kept, straight: &Kept, seed: &str) {
    assert_eq!(kept.run.status, RunStatus::Completed, "{seed}: {:?}", kept.run.fault);
    assert_eq!(kept.run.output, straight.run.output, "{seed}");
    assert_eq!(kept.effects, straight.effects, "{seed}: every effect once");
    assert_eq!(kept.ends, 1, "{seed}");
}

#[test]
fn a_death_at_any_point_changes_nothing() {
    let definition = defined(STEPS);
    let (expected, events) = straight(&definition);
    assert!(expected.effects.values().all(|times| *times == 1));
    for death in 0..events {
        for after_commit in [false, true] {
            let mut kept = Kept::new(&definition);
            let mut handled = 0;
            while let Some((step, attempt)) = kept.topic.pop_front() {
                let dies = handled == death;
                kept.handle(&definition, &step, attempt, false, dies && !after_commit);
                if dies {
                    // It is delivered again: nobody knows whether it was handled.
                    kept.topic.push_front((step, attempt));
                }
                handled += 1;
            }
            is_as(&kept, &expected, &format!("death at {death}, after its commit: {after_commit}"));
        }
    }
}

#[test]
fn any_order_any_repetition_and_any_death_end_the_same() {
    let definition = defined(STEPS);
    let (expected, _) = straight(&definition);
    let one = std::env::var("WORKFLOW_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let mut random = Random(seed);
        let mut kept = Kept::new(&definition);
        let mut events = 0;
        while !kept.topic.is_empty() {
            events += 1;
            assert!(events < EVENTS_MAX, "seed {seed} comes to no end");
            let at = random.below(kept.topic.len());
            let (step, attempt) = kept.topic.remove(at).unwrap();
            let state = kept.run.steps.get(&step);
            // Only what has another attempt fails: each policy's last one succeeds.
            let retries = definition.step(step.id()).unwrap().retry.attempts;
            let fails = attempt < retries && state.is_some() && random.below(3) == 0;
            let dies = random.below(4) == 0;
            if dies || random.below(4) == 0 {
                kept.topic.push_back((step.clone(), attempt));
            }
            kept.handle(&definition, &step, attempt, fails, dies);
        }
        is_as(&kept, &expected, &format!("seed {seed}"));
    }
}

#[test]
fn whatever_fails_a_retried_run_has_every_effect_once() {
    let definition = defined(STEPS);
    let (expected, _) = straight(&definition);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut kept = Kept::new(&definition);
        let mut failures = 0;
        for _ in 0..EVENTS_MAX {
            if kept.run.status == RunStatus::Failed {
                let resumed = advance(&definition, &kept.run, Input::Retry).unwrap();
                kept.run = resumed.run;
                kept.follow(&resumed.commands);
            }
            let Some((step, attempt)) = kept.topic.pop_front() else { break };
            let fails = failures < 10 && random.below(4) == 0;
            failures += u32::from(fails && kept.run.awaits(&step, attempt));
            kept.handle(&definition, &step, attempt, fails, false);
        }
        assert_eq!(kept.run.status, RunStatus::Completed, "seed {seed}: {:?}", kept.run.fault);
        assert_eq!((&kept.run.output, &kept.effects), (&expected.run.output, &expected.effects), "seed {seed}");
    }
}
