//! Steps that wait for what others do: events and other runs.

use serde_json::{Value, json};

use super::{commands, defined, done, finished};
use crate::workflow::*;

const ANSWER: &str = "- id: answer
  wait_for: {type: part.reviewed, correlate: data.part, equals: =input.part, within: 2h}
- {id: after, transform: =steps.answer.output.data.verdict}\n";

const SUB: &str = "- id: sub
  call: {workflow: Child, input: {n: =input.n}, within: 1h}
- {id: after, transform: =steps.sub.output.n}\n";

fn child_of(run: &Run, step: &str) -> String {
    run.steps[&Path::of(step)].child.clone().unwrap()
}

#[test]
fn an_event_ends_the_step_that_waits_for_it() {
    let definition = defined(ANSWER);
    let started = start(&definition, "wf", json!({"part": 7}));
    assert_eq!(commands(&started), ["answer 1 in 7200000ms"], "its time");
    let awaited: Vec<_> =
        started.run.waiting().map(|(path, attempt, awaited)| (path.as_str(), attempt, awaited)).collect();
    let expected = Awaited { event_type: "part.reviewed".into(), correlate: "data.part".into(), value: "7".into() };
    assert_eq!(awaited, [("answer", 1, &expected)]);
    let come = finished(&definition, &started.run, "answer", Ok(json!({"data": {"verdict": "good"}})));
    assert_eq!((commands(&come), come.run.waiting().count()), (vec!["after 1".to_owned()], 0));
    let ended = done(&definition, &come.run, "after").run;
    assert_eq!(ended.output["after"], "good");

    let late = done(&definition, &started.run, "answer").run;
    let fault = late.fault.clone().unwrap();
    assert_eq!((fault.code.as_str(), fault.message.as_str()), ("timeout", "no part.reviewed has come in time"));
    assert_eq!(late.waiting().count(), 0);
    let again = advance(&definition, &late, Input::Retry).unwrap();
    assert_eq!((commands(&again), again.run.waiting().count()), (vec!["answer 2 in 7200000ms".to_owned()], 1));
}

#[test]
fn what_cannot_be_compared_is_not_waited_for() {
    let definition = defined(ANSWER);
    let failed = start(&definition, "wf", json!({"part": [1]})).run;
    let fault = failed.fault.unwrap();
    assert_eq!(fault.code, "wrong_value");
    assert!(fault.message.starts_with("wait_for.equals is [1]; allowed: a text"), "{}", fault.message);
}

#[test]
fn a_called_run_gives_its_output_and_its_failure() {
    let definition = defined(SUB);
    let started = start(&definition, "wf", json!({"n": 1}));
    let child = child_of(&started.run, "sub");
    let call = format!("call Child {child} {{\"n\":1}}");
    assert_eq!(commands(&started), [call, "sub 1 in 3600000ms".to_owned()]);
    assert_eq!(start(&definition, "wf", json!({"n": 1})), started, "asking twice is asking for one run");
    let come = finished(&definition, &started.run, "sub", Ok(json!({"n": 5})));
    assert_eq!(done(&definition, &come.run, "after").run.output["after"], 5);

    let fault = Fault::new("call_failed", "Child is failed");
    let failed = finished(&definition, &started.run, "sub", Err(fault));
    assert_eq!(commands(&failed), ["end"]);
    assert_eq!(failed.run.fault.as_ref().unwrap().code, "call_failed");
    let again = advance(&definition, &failed.run, Input::Retry).unwrap();
    assert_ne!(child_of(&again.run, "sub"), child, "another attempt calls another run");
}

#[test]
fn nobody_leaves_a_called_run_behind() {
    let definition = defined(
        "- id: both
  parallel:
    - {id: sub, call: {workflow: Child, input: {}, within: 1h}}
    - {id: bad, transform: =input.missing}\n",
    );
    let started = start(&definition, "wf", json!({}));
    let child = child_of(&started.run, "both/sub");
    let gone = [format!("cancel {child}"), "end".to_owned()];
    assert_eq!(commands(&done(&definition, &started.run, "both/bad")), gone, "another step has failed");
    assert_eq!(commands(&done(&definition, &started.run, "both/sub")), gone, "its time is over");
    let cancel = Input::Cancel { fault: Fault::new("cancelled", "by ada") };
    assert_eq!(commands(&advance(&definition, &started.run, cancel).unwrap()), gone);
}

fn definitions(texts: &[(&str, &[&str])]) -> Result<Definitions, String> {
    let files = texts.iter().map(|(name, calls)| {
        let steps: String = calls
            .iter()
            .map(|call| format!("  - {{id: c{call}, call: {{workflow: {call}, input: {{}}}}}}\n"))
            .collect();
        let text = format!("name: {name}\nversion: 1\ninput: {{}}\nsteps:\n  - {{id: a, transform: 1}}\n{steps}");
        (format!("{name}.yaml"), Definition::parse(name, &text, None).unwrap())
    });
    Definitions::new(files.collect()).map_err(|error| error.to_string())
}

#[test]
fn no_workflow_calls_itself_and_not_too_many_stand_within_each_other() {
    assert!(definitions(&[("A", &["B", "C"]), ("B", &["C"]), ("C", &[])]).is_ok(), "one that two call is no circle");
    let check = |texts: &[(&str, &[&str])], expected: &str| assert_eq!(definitions(texts).unwrap_err(), expected);
    check(&[("A", &["A"])], "A.yaml:6: step \"cA\": call.workflow: A → A is a circle");
    check(
        &[("A", &["B"]), ("B", &["C"]), ("C", &["B"])],
        "C.yaml:6: step \"cB\": call.workflow: B → C → B is a circle",
    );
    check(&[("A", &["Z"])], "A.yaml:6: step \"cZ\": call.workflow: \"Z\" is not allowed; allowed: A");
    let deep: [(&str, &[&str]); 6] =
        [("A", &["B"]), ("B", &["C"]), ("C", &["D"]), ("D", &["E"]), ("E", &["F"]), ("F", &[])];
    check(
        &deep,
        "A.yaml:6: step \"cB\": call.workflow: more than 5 workflows within each other; allowed: at most that",
    );
    assert!(definitions(&deep[1..]).is_ok());
}

#[test]
fn a_run_knows_whom_it_follows() {
    let definition = defined("- {id: a, transform: 1}\n");
    let caller = Caller { workflow: "P".into(), workflow_id: "wf-0".into(), step: Path::of("sub"), attempt: 1 };
    let origin = Origin { caller: Some(caller.clone()), hops: 3 };
    let run = start_from(&definition, "wf-1", Value::Null, origin).run;
    let kept: Run = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
    assert_eq!((kept.caller, kept.hops), (Some(caller), 3));
}
