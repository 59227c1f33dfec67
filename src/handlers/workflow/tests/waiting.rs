//! Runs that wait for events and for other runs.

use super::*;

const REVIEW: &str = "name: Review
version: 1
input: {type: object, required: [part]}
steps:
  - id: answer
    wait_for: {type: drill.step, correlate: data.key, equals: =input.part, within: 1h}
output: {sequence: =steps.answer.output.data.sequence, by: =steps.answer.output.source}
";

const PARENT: &str = "name: Parent
version: 1
input: {type: object, required: [n]}
steps:
  - {id: sub, call: {workflow: Child, input: {n: =input.n}}}
output: {twice: =steps.sub.output.twice}
";

const CHILD: &str = "name: Child
version: 1
input: {type: object, properties: {n: {type: integer}}}
steps:
  - {id: twice, transform: =input.n * 2}
  - {id: pause, switch: {cases: [{when: input.n > 100, steps: [{id: long, wait: 1h}]}]}}
output: {twice: =steps.twice.output}
";

fn drilled(key: &str, sequence: i32) -> Value {
    json!({"key": key, "sequence": sequence, "action": "ok", "times": 0, "emit": false, "write": false})
}

async fn output(world: &World, id: &str) -> Value {
    let stored = world.store.workflow_run(&world.fence.group, id).await.unwrap().unwrap();
    serde_json::from_str::<Value>(&stored.run.state).unwrap()["output"].clone()
}

#[tokio::test]
async fn an_event_takes_on_the_runs_that_wait_for_it_and_no_others() {
    let mut world = World::new().await;
    world.define(&[REVIEW]);
    run(&mut world, "drill.step", drilled("wing", 1)).await;
    for (id, part) in [("wf-1", "wing"), ("wf-2", "wing"), ("wf-3", "door")] {
        run(&mut world, "workflow.requested", requested("Review", id, &json!({"part": part}))).await;
        assert_eq!(status(&world, id).await, "running", "what came before is not kept for it");
    }
    run(&mut world, "drill.step", drilled("tail", 2)).await;
    run(&mut world, "drill.step", drilled("wing", 3)).await;
    for id in ["wf-1", "wf-2"] {
        assert_eq!(output(&world, id).await, json!({"sequence": 3, "by": "/repository"}));
    }
    assert_eq!(status(&world, "wf-3").await, "running");
    let again = handle(&world, "drill.step", &drilled("wing", 4)).await.unwrap();
    assert!(again.emit.is_empty(), "nobody waits any more: {again:?}");
    // Its time is over.
    let due = json!({"workflow": "Review", "workflowId": "wf-3", "step": "answer", "attempt": 1});
    run(&mut world, "workflow.step", due).await;
    assert_eq!(status(&world, "wf-3").await, "failed");
    assert!(handle(&world, "drill.step", &drilled("door", 5)).await.unwrap().emit.is_empty());
}

#[tokio::test]
async fn of_two_events_the_first_counts() {
    let mut world = World::new().await;
    world.define(&[REVIEW]);
    run(&mut world, "workflow.requested", requested("Review", "wf-1", &json!({"part": "wing"}))).await;
    let (one, two) = (drilled("wing", 1), drilled("wing", 2));
    let (one, two) = (handle(&world, "drill.step", &one).await.unwrap(), handle(&world, "drill.step", &two).await.unwrap());
    assert_ne!(one.emit[0].id, two.emit[0].id);
    for (arrived, taken) in [(&one, true), (&two, false)] {
        let data = world.decode_json(&arrived.emit[0]).await;
        let success = handle(&world, "workflow.arrived", &data).await.unwrap();
        assert_eq!(!success.steps.is_empty(), taken, "{success:?}");
    }
    assert_eq!(output(&world, "wf-1").await["sequence"], 1);
}

#[tokio::test]
async fn nothing_but_what_waits_is_ended_by_what_arrives() {
    let mut world = World::new().await;
    world.define(&["name: Ask\nversion: 1\ninput: {}\nsteps: [{id: a, approval: {message: now?}}]\n"]);
    run(&mut world, "workflow.requested", requested("Ask", "wf-1", &json!({}))).await;
    let forged = json!({"workflow": "Ask", "workflowId": "wf-1", "group": "group", "step": "a", "attempt": 1, "output": "{}",
                        "code": "", "message": ""});
    run(&mut world, "workflow.arrived", forged).await;
    assert_eq!(status(&world, "wf-1").await, "running");
}

#[tokio::test]
async fn what_is_of_another_group_is_left_to_it() {
    let mut world = World::new().await;
    world.define(&[PARENT, CHILD]);
    let started = handle(&world, "workflow.requested", &requested("Parent", "wf-1", &json!({"n": 4}))).await.unwrap();
    let mut called = world.decode_json(&started.emit[0]).await;
    called["group"] = json!("another");
    let success = handle(&world, "workflow.called", &called).await.unwrap();
    assert!(success.emit.is_empty() && success.message.contains("of group \"another\""), "{success:?}");
    let arrived = json!({"workflow": "Parent", "workflowId": "wf-1", "group": "another", "step": "sub", "attempt": 1,
                         "output": "{}", "code": "", "message": ""});
    run(&mut world, "workflow.arrived", arrived).await;
    assert_eq!(status(&world, "wf-1").await, "running");
}

#[tokio::test]
async fn a_run_waits_for_the_run_that_it_called() {
    let mut world = World::new().await;
    world.define(&[PARENT, CHILD]);
    run(&mut world, "workflow.requested", requested("Parent", "wf-1", &json!({"n": 4}))).await;
    assert_eq!(output(&world, "wf-1").await, json!({"twice": 8}));
}

#[tokio::test]
async fn a_called_run_that_cannot_begin_or_fails_fails_the_one_that_called_it() {
    let mut world = World::new().await;
    world.define(&[PARENT, CHILD]);
    run(&mut world, "workflow.requested", requested("Parent", "wf-1", &json!({"n": "x"}))).await;
    let stored = world.store.workflow_run(&world.fence.group, "wf-1").await.unwrap().unwrap();
    assert_eq!(stored.run.status, "failed");
    assert!(stored.run.state.contains("Child does not take this input"), "{}", stored.run.state);
    world.define(&[PARENT, "name: Child\nversion: 1\ninput: {}\nsteps: [{id: bad, transform: =input.missing}]\n"]);
    run(&mut world, "workflow.requested", requested("Parent", "wf-2", &json!({"n": 1}))).await;
    let stored = world.store.workflow_run(&world.fence.group, "wf-2").await.unwrap().unwrap();
    assert!(stored.run.state.contains("call_failed"), "{}", stored.run.state);
}

#[tokio::test]
async fn a_run_that_is_cancelled_takes_those_that_it_called_with_it() {
    let mut world = World::new().await;
    world.define(&[PARENT, CHILD]);
    run(&mut world, "workflow.requested", requested("Parent", "wf-1", &json!({"n": 101}))).await;
    let stored = world.store.workflow_run(&world.fence.group, "wf-1").await.unwrap().unwrap();
    let state: Value = serde_json::from_str(&stored.run.state).unwrap();
    let child = state["steps"]["sub"]["child"].as_str().unwrap().to_owned();
    assert_eq!((status(&world, "wf-1").await, status(&world, &child).await), ("running".into(), "running".into()));
    let command = json!({"workflowId": "wf-1", "action": "cancel", "by": "ada", "reason": ""});
    run(&mut world, "workflow.command", command).await;
    assert_eq!((status(&world, "wf-1").await, status(&world, &child).await), ("cancelled".into(), "cancelled".into()));
}

#[tokio::test]
async fn workflows_that_start_each_other_in_a_circle_come_to_an_end() {
    let mut world = World::new().await;
    world.define(&[CHILD]);
    let request = requested("Child", "wf-1", &json!({"n": 1}));
    let started = world.handle_by_with(&WorkflowHandler, "workflow.requested", &request, &[("ce_workflowhops", "31")]).await;
    assert!(started.unwrap().emit.iter().all(|event| event.workflow_hops == Some(32)));
    let request = requested("Child", "wf-2", &json!({"n": 1}));
    let refused = world.handle_by_with(&WorkflowHandler, "workflow.requested", &request, &[("ce_workflowhops", "32")]).await;
    assert_eq!(refused.unwrap_err().code, "too_many_hops");
}
