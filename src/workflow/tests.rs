//! What a run does, step by step.

mod definitions;
mod property;
mod undo;
mod waiting;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// A definition with these steps, YAML that is indented by nothing.
fn defined(steps: &str) -> Definition {
    let text = format!("name: W\nversion: 1\ninput: {{type: object}}\nsteps:\n{steps}");
    Definition::parse("w.yaml", &text, None).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is to be done, as text: `step/attempt`, with the delay if there is one; `end`.
fn commands(advanced: &Advanced) -> Vec<String> {
    let text = |command: &Command| match command {
        Command::Run { step, attempt, delay } if delay.is_zero() => format!("{step} {attempt}"),
        Command::Run { step, attempt, delay } => format!("{step} {attempt} in {}ms", delay.as_millis()),
        Command::Call { workflow, child, input, .. } => format!("call {workflow} {child} {input}"),
        Command::CancelChild { child, .. } => format!("cancel {child}"),
        Command::End => "end".to_owned(),
    };
    advanced.commands.iter().map(text).collect()
}

/// Does the awaited attempt as it says, and gives what follows.
fn done(definition: &Definition, run: &Run, step: &str) -> Advanced {
    let path = Path::of(step);
    let result = match action(definition, run, &path) {
        Ok(Action::Nothing(output)) => Ok(output),
        Ok(other) => Ok(json!(format!("{other:?}"))),
        Err(fault) => Err(fault),
    };
    finished(definition, run, step, result)
}

fn finished(definition: &Definition, run: &Run, step: &str, result: Result<Value, Fault>) -> Advanced {
    let step = Path::of(step);
    let attempt = run.steps[&step].attempt;
    advance(definition, run, Input::Finished { step, attempt, result }).unwrap()
}

#[test]
fn steps_run_in_the_order_of_the_file_and_those_that_may_at_once() {
    let definition = defined(
        "- {id: a, transform: {n: =input.n + 1}}
- {id: b, after: [a], transform: =steps.a.output.n * 2}
- {id: c, after: [a], transform: text}
- {id: d, after: [b, c], transform: ['=steps.b.output', '=steps.c.output', '==literal']}\n",
    );
    let started = start(&definition, "wf-1", json!({"n": 1}));
    assert_eq!(commands(&started), ["a 1"]);
    let a = done(&definition, &started.run, "a");
    assert_eq!(commands(&a), ["b 1", "c 1"]);
    let b = done(&definition, &a.run, "b");
    assert!(commands(&b).is_empty());
    let c = done(&definition, &b.run, "c");
    assert_eq!(commands(&c), ["d 1"]);
    let d = done(&definition, &c.run, "d");
    assert_eq!((commands(&d), d.run.status), (vec!["end".to_owned()], RunStatus::Completed));
    assert_eq!(d.run.output, json!({"a": {"n": 2}, "b": 4, "c": "text", "d": [4, "text", "=literal"]}));
}

#[test]
fn a_switch_takes_the_first_case_that_is_true() {
    let definition = defined(
        "- id: pick
  switch:
    cases:
      - {when: input.n > 10, steps: [{id: large, transform: large}]}
      - {when: input.n > 5, steps: [{id: middle, transform: middle}]}
    otherwise: [{id: small, transform: small}]
- {id: after, transform: =steps.pick.output}\n",
    );
    for (n, step) in [(11, "large"), (7, "middle"), (1, "small")] {
        let started = start(&definition, "wf", json!({"n": n}));
        assert_eq!(commands(&started), [format!("pick/{step} 1")]);
        let picked = done(&definition, &started.run, &format!("pick/{step}"));
        let ended = done(&definition, &picked.run, "after");
        assert_eq!(ended.run.output["after"], json!({step: step}));
    }
}

#[test]
fn without_a_case_and_without_items_nothing_is_awaited() {
    let definition = defined(
        "- {id: pick, switch: {cases: [{when: 'false', steps: [{id: never, transform: 1}]}]}}
- {id: each, for_each: {items: input.none, steps: [{id: round, transform: 1}]}}\n",
    );
    let started = start(&definition, "wf", json!({"none": []}));
    assert_eq!((commands(&started), started.run.status), (vec!["end".to_owned()], RunStatus::Completed));
    assert_eq!(started.run.output, json!({"pick": null, "each": []}));
}

#[test]
fn rounds_run_at_once_and_see_their_item() {
    let definition = defined(
        "- id: each
  for_each:
    items: input.list
    max: 3
    steps:
      - {id: first, transform: '=item.n'}
      - {id: second, transform: {index: =index, first: =steps.first.output}}\n",
    );
    let started = start(&definition, "wf", json!({"list": [{"n": 7}, {"n": 8}]}));
    assert_eq!(commands(&started), ["each[0]/first 1", "each[1]/first 1"]);
    let mut run = started.run;
    for step in ["each[1]/first", "each[0]/first", "each[0]/second"] {
        run = done(&definition, &run, step).run;
    }
    let ended = done(&definition, &run, "each[1]/second");
    let round = |index: usize, n: i64| json!({"first": n, "second": {"index": index, "first": n}});
    assert_eq!(ended.run.output, json!({"each": [round(0, 7), round(1, 8)]}));
    for (list, code) in [(json!([1, 2, 3, 4]), "too_many_items"), (json!("text"), "not_a_list")] {
        let failed = start(&definition, "wf", json!({"list": list})).run;
        assert_eq!((failed.status, failed.fault.unwrap().code.as_str()), (RunStatus::Failed, code));
    }
}

#[test]
fn branches_run_at_once_and_the_first_failure_ends_the_run() {
    let definition = defined(
        "- id: both
  parallel: [{id: left, transform: 1}, {id: right, transform: =input.missing}]
- {id: after, transform: 2}\n",
    );
    let started = start(&definition, "wf", json!({}));
    assert_eq!(commands(&started), ["both/left 1", "both/right 1"]);
    let failed = done(&definition, &started.run, "both/right");
    assert_eq!((commands(&failed), failed.run.status), (vec!["end".to_owned()], RunStatus::Failed));
    let fault = failed.run.fault.clone().unwrap();
    assert_eq!((fault.code.as_str(), fault.step), ("expression_failed", Some(Path::of("both/right"))));
    let late = Input::Finished { step: Path::of("both/left"), attempt: 1, result: Ok(json!(1)) };
    let refused = advance(&definition, &failed.run, late).unwrap_err();
    assert_eq!(refused.to_string(), "attempt 1 of step both/left is not awaited");
}

#[test]
fn a_step_is_tried_as_often_as_it_says_and_a_retried_run_goes_on_with_it() {
    let definition = defined(
        "- {id: a, transform: 1}
- id: b
  retry: {attempts: 3, backoff: {initial: 1s, cap: 1500ms}}
  transform: 2
- {id: c, transform: 3}\n",
    );
    let fault = || Err(Fault::new("no", "not now"));
    let mut run = done(&definition, &start(&definition, "wf", json!({})).run, "a").run;
    for expected in ["b 2 in 1000ms", "b 3 in 1500ms", "end"] {
        let advanced = finished(&definition, &run, "b", fault());
        assert_eq!(commands(&advanced), [expected]);
        run = advanced.run;
    }
    assert_eq!(run.status, RunStatus::Failed);
    let resumed = advance(&definition, &run, Input::Retry).unwrap();
    assert_eq!(commands(&resumed), ["b 4"]);
    let again = finished(&definition, &resumed.run, "b", fault());
    assert_eq!(commands(&again), ["b 5 in 1000ms"], "its policy counts anew");
    let b = done(&definition, &again.run, "b");
    let ended = done(&definition, &b.run, "c");
    assert_eq!((ended.run.status, ended.run.ends, ended.run.fault.as_ref()), (RunStatus::Completed, 2, None));
    assert!(advance(&definition, &ended.run, Input::Retry).is_err());
}

#[test]
fn a_cancelled_run_awaits_nothing_and_can_go_on() {
    let definition = defined("- {id: pause, wait: 1h}\n- {id: a, transform: 1}\n");
    let started = start(&definition, "wf", json!({}));
    assert_eq!(commands(&started), ["pause 1 in 3600000ms"]);
    let cancel = || Input::Cancel { fault: Fault::new("cancelled", "by ada") };
    let cancelled = advance(&definition, &started.run, cancel()).unwrap().run;
    assert_eq!((cancelled.status, cancelled.awaits(&Path::of("pause"), 1)), (RunStatus::Cancelled, false));
    assert!(advance(&definition, &cancelled, cancel()).is_err());
    let resumed = advance(&definition, &cancelled, Input::Retry).unwrap();
    assert_eq!(commands(&resumed), ["pause 2 in 3600000ms"]);
}

#[test]
fn a_value_that_its_schema_refuses_fails_with_its_errors() {
    let definition = defined(
        "- id: check
  validate: {value: =input, schema: {type: object, required: [n], properties: {n: {type: integer}}}}\n",
    );
    let failed = done(&definition, &start(&definition, "wf", json!({"n": "x"})).run, "check").run;
    let fault = failed.fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.errors.len()), ("invalid", 1));
    let passed = done(&definition, &start(&definition, "wf", json!({"n": 1})).run, "check").run;
    assert_eq!(passed.status, RunStatus::Completed);
}

#[test]
fn what_a_step_does_is_filled_in() {
    let definition = defined(
        "- id: tell
  emit: {topic: coafi.bitt, type: some.type, key: =input.key, data: {id: =run.id}}
- id: keep
  registry_update: {registry: parts, entry: =input.key, data: {v: =input.v}, expected_version: 0}
- {id: look, registry_read: {registry: parts, entry: =input.key}}\n",
    );
    let run = start(&definition, "wf-1", json!({"key": "k", "v": 1})).run;
    let emit = Action::Emit {
        topic: "coafi.bitt".into(),
        event_type: "some.type".into(),
        subject: None,
        key: Some("k".into()),
        data: json!({"id": "wf-1"}),
    };
    assert_eq!(action(&definition, &run, &Path::of("tell")), Ok(emit));
    let update = Action::RegistryUpdate {
        registry: "parts".into(),
        entry: "k".into(),
        data: json!({"v": 1}),
        expected_version: Some(0),
    };
    assert_eq!(action(&definition, &run, &Path::of("keep")), Ok(update));
    let wrong = start(&definition, "wf-1", json!({"key": 7, "v": 1})).run;
    let fault = action(&definition, &wrong, &Path::of("look")).unwrap_err();
    assert_eq!(fault.message, "registry_read.entry is 7; allowed: a text");
}

#[test]
fn a_state_that_grows_too_large_is_a_failure() {
    let definition = defined("- {id: a, transform: =input.n}\n- {id: b, transform: =input.n}\n");
    let started = start(&definition, "wf", json!({"n": "x".repeat(200 * 1024)}));
    let a = done(&definition, &started.run, "a");
    assert_eq!(a.run.status, RunStatus::Running);
    let fault = done(&definition, &a.run, "b").run.fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.step), ("state_too_large", Some(Path::of("b"))));
}

#[test]
fn the_wait_between_attempts_doubles_up_to_its_cap() {
    let retry = Retry { attempts: 9, initial: Duration::from_secs(1), cap: Duration::from_secs(5) };
    let waits: Vec<u64> = [1, 2, 3, 4, 40].into_iter().map(|failures| retry.backoff(failures).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 5, 5]);
}

#[test]
fn an_approval_waits_for_a_person_and_not_for_ever() {
    let definition = defined(
        "- {id: look, transform: =input.n}
- {id: release, approval: {message: ='release ' + string(steps.look.output) + '?', within: 24h}}
- {id: after, transform: =steps.release.output.by}\n",
    );
    let asked = done(&definition, &start(&definition, "wf", json!({"n": 7})).run, "look");
    assert_eq!(commands(&asked), ["release 1 in 86400000ms"]);
    let release = || Path::of("release");
    assert_eq!(asked.run.steps[&release()].output, json!({"message": "release 7?"}));
    let decide = |run: &Run, step: Path, approved| {
        advance(&definition, run, Input::Decide { step, approved, by: "ada".into(), reason: "seen".into() })
    };
    let approved = decide(&asked.run, release(), true).unwrap();
    assert_eq!(commands(&approved), ["after 1"]);
    let ended = done(&definition, &approved.run, "after").run;
    assert_eq!(ended.output["after"], "ada");
    let again = decide(&approved.run, release(), false).unwrap_err();
    assert_eq!(again.to_string(), "no approval is awaited at step release");
    assert!(decide(&asked.run, Path::of("look"), true).is_err(), "it is none");

    let rejected = decide(&asked.run, release(), false).unwrap().run;
    assert_eq!(rejected.fault.as_ref().unwrap().message, "rejected by ada: seen");
    let asked_again = advance(&definition, &rejected, Input::Retry).unwrap();
    assert_eq!(commands(&asked_again), ["release 2 in 86400000ms"]);

    let late = done(&definition, &asked.run, "release").run;
    let fault = late.fault.unwrap();
    assert_eq!((fault.code.as_str(), fault.message.as_str()), ("timeout", "nobody has decided in time"));
}
