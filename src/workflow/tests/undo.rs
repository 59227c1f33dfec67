//! Runs that fail after they have done something.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{commands, defined, done, finished};
use crate::workflow::*;

const STEPS: &str = "- {id: reserve, registry_update: {registry: r, entry: =input.n, data: {}},
   compensate: {registry_update: {registry: r, entry: =steps.reserve.output.entry, data: null}, retry: {attempts: 2}}}
- id: both
  parallel:
    - {id: pay, emit: {topic: t, type: a.b, data: {}}, compensate: {emit: {topic: t, type: c.d, data: {undoes: =steps.pay.output.id}}}}
    - {id: look, transform: 1}
- {id: ship, transform: =input.missing}\n";

fn failing() -> (Definition, Run) {
    let definition = defined(STEPS);
    let mut run = start(&definition, "wf", json!({"n": "e"})).run;
    run = finished(&definition, &run, "reserve", Ok(json!({"entry": "e"}))).run;
    run = finished(&definition, &run, "both/look", Ok(json!(1))).run;
    run = finished(&definition, &run, "both/pay", Ok(json!({"id": "p"}))).run;
    (definition, run)
}

#[test]
fn what_a_failed_run_has_done_is_undone_the_last_first() {
    let (definition, run) = failing();
    let failed = done(&definition, &run, "ship");
    assert_eq!((commands(&failed), failed.run.status), (vec!["both/pay~undo 1".to_owned()], RunStatus::Compensating));
    let undo = action(&definition, &failed.run, &Path::of("both/pay~undo")).unwrap();
    let Action::Emit { event_type, data, .. } = undo else { panic!("{undo:?}") };
    assert_eq!((event_type.as_str(), data), ("c.d", json!({"undoes": "p"})));
    assert!(!failed.run.awaits(&Path::of("ship"), 1));

    let next = finished(&definition, &failed.run, "both/pay~undo", Ok(Value::Null));
    assert_eq!(commands(&next), ["reserve~undo 1"]);
    let ended = finished(&definition, &next.run, "reserve~undo", Ok(Value::Null));
    assert_eq!((commands(&ended), ended.run.status, ended.run.ends), (vec!["end".to_owned()], RunStatus::Failed, 1));
    let fault = ended.run.fault.clone().unwrap();
    assert_eq!((fault.code.as_str(), fault.step), ("expression_failed", Some(Path::of("ship"))));
    let refused = advance(&definition, &ended.run, Input::Retry).unwrap_err();
    assert_eq!(refused, Refused::Compensated);
}

#[test]
fn an_endpoint_that_undoes_is_asked_with_what_the_step_gave() {
    let definition = defined(
        "- id: pay
  http: {endpoint: bank, data: {sum: 7}}
  compensate: {http: {endpoint: refunds, type: payment.refunded, data: {payment: =steps.pay.output.id}}}
- {id: ship, transform: =input.missing}\n",
    );
    let needed: Vec<&str> = definition.dependencies.iter().map(String::as_str).collect();
    assert_eq!(needed, ["database", "http:bank", "http:refunds", "schema-registry"]);
    let run = start(&definition, "wf", json!({})).run;
    let run = finished(&definition, &run, "pay", Ok(json!({"id": "p-1"}))).run;
    let failed = done(&definition, &run, "ship");
    assert_eq!(commands(&failed), ["pay~undo 1"]);
    let undo = action(&definition, &failed.run, &Path::of("pay~undo")).unwrap();
    let Action::Http { endpoint, event_type, data } = undo else { panic!("{undo:?}") };
    assert_eq!(
        (endpoint.as_str(), event_type.as_str(), data),
        ("refunds", "payment.refunded", json!({"payment": "p-1"}))
    );
}

#[test]
fn a_cancelled_run_is_undone_and_cannot_be_cancelled_twice() {
    let (definition, run) = failing();
    let cancel = || Input::Cancel { fault: Fault::new("cancelled", "by ada") };
    let cancelled = advance(&definition, &run, cancel()).unwrap();
    assert_eq!(commands(&cancelled), ["both/pay~undo 1"]);
    assert!(advance(&definition, &cancelled.run, cancel()).is_err());
    let next = finished(&definition, &cancelled.run, "both/pay~undo", Ok(Value::Null)).run;
    assert_eq!(finished(&definition, &next, "reserve~undo", Ok(Value::Null)).run.status, RunStatus::Cancelled);
}

#[test]
fn undoing_that_nobody_waits_for_any_more_is_not_tried_again_and_the_rest_is_undone() {
    let (definition, run) = failing();
    let failed = done(&definition, &run, "ship").run;
    let give_up = |run: &Run, step: &str, attempt| {
        let fault = Fault::new("cancelled", "by ada");
        advance(&definition, run, Input::GiveUp { step: Path::of(step), attempt, fault })
    };
    assert!(give_up(&failed, "ship", 1).is_err() && give_up(&failed, "both/pay~undo", 2).is_err());
    let next = give_up(&failed, "both/pay~undo", 1).unwrap();
    assert_eq!(commands(&next), ["reserve~undo 1"]);
    let ended = give_up(&next.run, "reserve~undo", 1).unwrap();
    assert_eq!((commands(&ended), ended.run.status), (vec!["end".to_owned()], RunStatus::Failed), "it would try twice");
    let message = ended.run.fault.unwrap().message;
    let expected = "; not undone: both/pay~undo: cancelled: by ada; reserve~undo: cancelled: by ada";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn what_cannot_be_undone_is_tried_again_and_then_said() {
    let (definition, run) = failing();
    let failed = done(&definition, &run, "ship").run;
    let no = || Err(Fault::new("no", "not now"));
    let next = finished(&definition, &failed, "both/pay~undo", no());
    assert_eq!(commands(&next), ["reserve~undo 1"], "it stops nothing");
    let again = finished(&definition, &next.run, "reserve~undo", no());
    assert_eq!(commands(&again), ["reserve~undo 2 in 1000ms"]);
    let ended = finished(&definition, &again.run, "reserve~undo", no()).run;
    let message = ended.fault.unwrap().message;
    assert!(message.ends_with("; not undone: both/pay~undo: no: not now; reserve~undo: no: not now"), "{message}");
}

#[test]
fn without_anything_to_undo_a_run_ends_at_once() {
    let definition = defined(STEPS);
    let started = start(&definition, "wf", json!({"n": "e"})).run;
    let failed = finished(&definition, &started, "reserve", Err(Fault::new("no", "not now")));
    assert_eq!((commands(&failed), failed.run.status), (vec!["end".to_owned()], RunStatus::Failed));
}

const MANY: &str = "- id: each
  for_each:
    items: input.list
    steps:
      - {id: one, transform: =item, compensate: {emit: {topic: t, type: a.b, data: {of: =item}}}}
      - {id: two, after: [], transform: =item, compensate: {emit: {topic: t, type: a.b, data: {of: =item}}}}
- {id: last, transform: =input.missing}\n";

/// Whatever comes twice, late or is lost with a process: every step that has succeeded is undone once, in reverse.
#[test]
fn any_order_and_any_repetition_undo_each_step_once_and_in_reverse() {
    let definition = defined(MANY);
    for seed in 0..400_usize {
        let mut random = super::property::Random::new(seed);
        let started = start(&definition, "wf", json!({"list": [1, 2, 3]}));
        let (mut run, mut topic) = (started.run, Vec::new());
        let follow = |topic: &mut Vec<(Path, u32)>, commands: &[Command]| {
            topic.extend(commands.iter().filter_map(|command| match command {
                Command::Run { step, attempt, .. } => Some((step.clone(), *attempt)),
                _ => None,
            }));
        };
        follow(&mut topic, &started.commands);
        let (mut did, mut undid, mut ends) = (Vec::new(), Vec::new(), 0);
        // One that has failed already may come before the others are through.
        let fails_after = random.below(7);
        for _ in 0..1_000 {
            if topic.is_empty() {
                break;
            }
            let (step, attempt) = topic.remove(random.below(topic.len()));
            if random.below(3) == 0 {
                topic.push((step.clone(), attempt));
            }
            if !run.awaits(&step, attempt) || random.below(4) == 0 {
                // Not awaited; or the process died, and it comes again.
                if run.awaits(&step, attempt) {
                    topic.push((step, attempt));
                }
                continue;
            }
            let fails = !step.is_undo() && did.len() >= fails_after;
            let result = if fails || step.id() == "last" { Err(Fault::new("no", "no")) } else { Ok(json!(1)) };
            let of_step = if step.is_undo() { &mut undid } else { &mut did };
            if result.is_ok() {
                of_step.push(step.clone());
            }
            let advanced = advance(&definition, &run, Input::Finished { step, attempt, result }).unwrap();
            run = advanced.run;
            ends += advanced.commands.iter().filter(|command| **command == Command::End).count();
            follow(&mut topic, &advanced.commands);
        }
        assert_eq!((run.status, ends), (RunStatus::Failed, 1), "seed {seed}");
        did.reverse();
        let expected: Vec<Path> = did.iter().map(Path::undo).collect();
        assert_eq!(undid, expected, "seed {seed}");
        let counted: BTreeMap<&Path, usize> = undid.iter().fold(BTreeMap::new(), |mut counted, path| {
            *counted.entry(path).or_default() += 1;
            counted
        });
        assert!(counted.values().all(|times| *times == 1), "seed {seed}");
    }
}
