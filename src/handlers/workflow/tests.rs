//! Runs over a real database, event by event.

mod generating;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::dispatch::NewEvent;
use crate::handlers::git_commit::tests::world::World;
use crate::registry::{Dependant, Rule, Rules};
use crate::schema::{Shape, workflow_files};

const COPY: &str = "name: Copy
version: 1
input: {type: object, required: [entry], properties: {entry: {type: string}}}
steps:
  - {id: read, registry_read: {registry: parts, entry: =input.entry}}
  - id: both
    parallel:
      - {id: one, registry_update: {registry: copies, entry: =input.entry, data: {n: 1}}}
      - {id: other, registry_update: {registry: copies, entry: =input.entry + '2', data: {n: 2}}}
  - id: tell
    emit: {topic: drill, type: drill.step, key: =input.entry,
           data: {key: =input.entry, sequence: 1, action: ok, times: 0, emit: false, write: false}}
output: {found: =steps.read.output.found}
";

const AFTER: &str = "name: After
version: 1
input: {type: object}
on:
  - {type: workflow.completed, when: data.workflow == 'Copy', input: {found: =data.output.found, of: =data.workflowId}}
steps:
  - {id: note, registry_update: {registry: notes, entry: after, data: =input}}
";

fn requested(workflow: &str, id: &str, input: &Value) -> Value {
    json!({"workflow": workflow, "workflowId": id, "input": input.to_string(), "utids": []})
}

async fn handle(world: &World, event_type: &str, data: &Value) -> Result<Success, Failure> {
    world.handle_by(&WorkflowHandler, event_type, data).await
}

/// Handles an event and all that follow from it, each twice; what left the workflows' topic is given back.
async fn run(world: &mut World, event_type: &str, data: Value) -> Vec<NewEvent> {
    let mut waiting = VecDeque::from([(event_type.to_owned(), data)]);
    let mut others = Vec::new();
    while let Some((event_type, data)) = waiting.pop_front() {
        world.offset += 1;
        let success = handle(world, &event_type, &data).await.unwrap();
        assert_eq!(handle(world, &event_type, &data).await.unwrap(), success, "a second run gives the same (I9)");
        for event in success.emit {
            if event.topic == events::TOPIC {
                let data = world.decode_json(&event).await;
                waiting.push_back((event.event_type, data));
            } else {
                others.push(event);
            }
        }
    }
    others
}

async fn status(world: &World, id: &str) -> String {
    world.store.workflow_run(&world.fence.group, id).await.unwrap().unwrap().run.status
}

async fn version(world: &World, registry: &str, entry: &str) -> i64 {
    world.store.entry(registry, entry).await.unwrap().map_or(0, |entry| entry.version)
}

#[tokio::test]
async fn a_run_does_each_step_once_and_another_workflow_follows() {
    let mut world = World::new().await;
    world.define(&[COPY, AFTER]);
    let others = run(&mut world, "workflow.requested", requested("Copy", "wf-1", &json!({"entry": "e"}))).await;
    assert_eq!(others.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["wf-1/tell/event"]);
    assert_eq!(status(&world, "wf-1").await, "completed");
    assert_eq!((version(&world, "copies", "e").await, version(&world, "copies", "e2").await), (1, 1));
    let note = world.store.entry("notes", "after").await.unwrap().unwrap();
    assert_eq!(note.data, json!({"found": false, "of": "wf-1"}));
    let steps = world.store.workflow_steps(&world.fence.group, "wf-1").await.unwrap();
    let named: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.status.as_str())).collect();
    assert!(named.contains(&("both/one", "succeeded")) && named.len() == 5, "{named:?}");
}

#[tokio::test]
async fn an_attempt_that_is_over_does_nothing_even_if_nobody_remembers_its_event() {
    let mut world = World::new().await;
    world.define(&[COPY]);
    run(&mut world, "workflow.requested", requested("Copy", "wf-1", &json!({"entry": "e"}))).await;
    // Another run over the topic has no inbox rows.
    world.run = "again".to_owned();
    let due = json!({"workflow": "Copy", "workflowId": "wf-1", "step": "both/one", "attempt": 1});
    let success = handle(&world, "workflow.step", &due).await.unwrap();
    assert!(success.emit.is_empty() && success.message.contains("is not awaited"), "{success:?}");
    let again = handle(&world, "workflow.requested", &requested("Copy", "wf-1", &json!({"entry": "e"}))).await.unwrap();
    assert!(again.emit.is_empty() && again.message.contains("is there already"), "{again:?}");
    assert_eq!(version(&world, "copies", "e").await, 1);
}

/// Each reads before any of them has written.
#[tokio::test]
async fn runs_that_write_to_one_entry_at_once_all_do() {
    const RUNS: usize = 8;
    let mut world = World::new().await;
    world.define(&["name: Same
version: 1
input: {}
steps: [{id: put, registry_update: {registry: parts, entry: same, data: {by: =run.id}}}]
"]);
    for run in 0..RUNS {
        world.offset += 1;
        handle(&world, "workflow.requested", &requested("Same", &format!("wf-{run}"), &json!({}))).await.unwrap();
    }
    let dues: Vec<Value> = (0..RUNS)
        .map(|run| json!({"workflow": "Same", "workflowId": format!("wf-{run}"), "step": "put", "attempt": 1}))
        .collect();
    let put = futures_util::future::join_all(dues.iter().map(|due| handle(&world, "workflow.step", due))).await;
    assert!(put.iter().all(Result::is_ok), "{put:?}");
    for run in 0..RUNS {
        assert_eq!(status(&world, &format!("wf-{run}")).await, "completed");
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_said() {
    let mut world = World::new().await;
    world.define(&[COPY]);
    let check = async |data: Value, code: &str, said: &str| {
        let failure = handle(&world, "workflow.requested", &data).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(said), "{failure}");
    };
    check(requested("Coppy", "wf-1", &json!({})), "unknown_workflow", "defined: Copy").await;
    check(requested("Copy", "wf-1", &json!({})), "invalid_input", "\"entry\" is a required property").await;
    check(requested("Copy", "", &json!({})), "invalid_request", "workflowId is empty").await;
    let command = json!({"workflowId": "wf-9", "action": "cancel", "by": "ada", "reason": ""});
    assert_eq!(handle(&world, "workflow.command", &command).await.unwrap_err().code, "no_such_run");
}

#[tokio::test]
async fn what_cannot_be_started_is_escalated_once_it_is_a_dead_letter() {
    let mut world = World::new().await;
    world.define(&workflow_files().iter().map(|(_, text)| *text).collect::<Vec<_>>());
    let refused = async |world: &World, workflow: &str, headers: &[(&str, &str)]| {
        let asked = requested(workflow, "wf-1", &json!({"secret": "hunter2"}));
        let failure = world.handle_by_with(&WorkflowHandler, "workflow.requested", &asked, headers).await.unwrap_err();
        *failure.on_dead_letter.expect("an event that says so")
    };
    let long = refused(&world, &"\n\u{e9}".repeat(100_000), &[]).await;
    assert!(long.source.chars().count() < 300 && !long.source.contains('\n'), "it becomes a header");
    assert_eq!(refused(&world, "", &[]).await.subject.as_deref(), Some("unnamed"));
    let unknown = refused(&world, "Coppy", &[]).await;
    assert_eq!(refused(&world, "Coppy", &[]).await, unknown, "the same, however often it is tried");
    let redriven = refused(&world, "Coppy", &[(crate::dispatch::hop::REDRIVE, "1")]).await;
    assert_ne!(redriven.id, unknown.id, "what a redrive comes to is said again");
    let said = world.decode_json(&unknown).await;
    assert_eq!((&said["status"], &said["code"]), (&json!(events::START_FAILED), &json!("unknown_workflow")));
    let first = run(&mut world, &unknown.event_type, said).await;
    let said = world.decode_json(&redriven).await;
    world.run = "again".to_owned();
    let repeated = run(&mut world, &redriven.event_type, said).await;
    for (told, severity) in [(first, "warning"), (repeated, "critical")] {
        assert_eq!(world.decode_json(&told[0]).await["severity"], severity);
    }
    let invalid = refused(&world, "ReportWorkflow", &[]).await;
    let said = world.decode_json(&invalid).await;
    assert!(!said.to_string().contains("hunter2"), "{said}");
    run(&mut world, &invalid.event_type, said).await;
    let open = async |entry: &str| world.store.entry("escalations", entry).await.unwrap().unwrap().data["reason"].clone();
    let reason = |code: &str| json!(format!("{code} it could not be started; the dead letter of its request says why"));
    assert_eq!(open("Coppy").await, reason("unknown_workflow"));
    assert_eq!(open("ReportWorkflow").await, reason("invalid_input"));
    // Nobody escalates that nothing can be escalated.
    let own = refused(&world, "EscalationWorkflow", &[]).await;
    let said = world.decode_json(&own).await;
    assert_eq!(handle(&world, &own.event_type, &said).await.unwrap().emit, []);
    world.define(&[COPY]);
    let nobody = handle(&world, "workflow.requested", &requested("Coppy", "wf-2", &json!({}))).await.unwrap_err();
    assert_eq!(nobody.on_dead_letter, None, "no workflow would hear of it");
}

#[tokio::test]
async fn a_run_that_failed_is_retried_with_the_definition_that_it_began_with() {
    let mut world = World::new().await;
    let text = "name: W
version: 1
input: {type: object}
steps:
  - {id: read, registry_read: {registry: parts, entry: e}}
  - {id: check, after: [], registry_update: {registry: parts, entry: e, data: {n: 2}, expected_version: 1}}
";
    world.define(&[text]);
    run(&mut world, "workflow.requested", requested("W", "wf-1", &json!({}))).await;
    assert_eq!(status(&world, "wf-1").await, "failed");
    let command = |action: &str| json!({"workflowId": "wf-1", "action": action, "by": "ada", "reason": "a test"});
    let refused = handle(&world, "workflow.command", &command("cancel")).await.unwrap();
    assert!(refused.message.contains("the run is failed; allowed: running"), "{refused:?}");
    // What it waited for is there, and its file is gone.
    world.define(&[COPY]);
    run(&mut world, "workflow.requested", requested("Copy", "wf-2", &json!({"entry": "x"}))).await;
    let other = "name: Put
version: 1
input: {type: object}
steps: [{id: put, registry_update: {registry: parts, entry: e, data: {n: 1}}}]
";
    world.define(&[other]);
    run(&mut world, "workflow.requested", requested("Put", "wf-3", &json!({}))).await;
    run(&mut world, "workflow.command", command("retry")).await;
    assert_eq!((status(&world, "wf-1").await.as_str(), version(&world, "parts", "e").await), ("completed", 2));
}

#[tokio::test]
async fn what_is_due_later_is_a_timer_and_a_cancelled_run_has_an_end() {
    let mut world = World::new().await;
    world.define(&["name: Slow\nversion: 1\ninput: {}\nsteps: [{id: pause, wait: 1h}]\n"]);
    let started = handle(&world, "workflow.requested", &requested("Slow", "wf-1", &json!({}))).await.unwrap();
    assert!(started.emit.is_empty(), "{started:?}");
    let command = json!({"workflowId": "wf-1", "action": "cancel", "by": "ada", "reason": "too slow"});
    let cancelled = handle(&world, "workflow.command", &command).await.unwrap();
    let [ended] = &cancelled.emit[..] else { panic!("{cancelled:?}") };
    let data = world.decode_json(ended).await;
    assert_eq!((ended.id.as_str(), &data["status"]), ("wf-1/ended/1", &json!("cancelled")));
    assert_eq!(data["message"], "cancelled by ada: too slow");
}

#[tokio::test]
async fn a_step_cannot_write_what_does_not_fit_its_registry() {
    let mut world = World::new().await;
    let shape = Shape::compile(&json!({"required": ["status"]})).unwrap();
    let rule = Rule { shape: Some(shape), requires_match: true, ..Rule::default() };
    world.services.registries = Arc::new(Rules::new([("parts".to_owned(), rule)].into()));
    let writing = "name: Writing
version: 1
input: {}
steps: [{id: put, registry_update: {registry: parts, entry: a, data: =input.data}}]
";
    world.define(&[writing]);
    run(&mut world, "workflow.requested", requested("Writing", "good", &json!({"data": {"status": 1}}))).await;
    run(&mut world, "workflow.requested", requested("Writing", "bad", &json!({"data": {"state": 1}}))).await;
    assert_eq!((&*status(&world, "good").await, &*status(&world, "bad").await), ("completed", "failed"));
    assert_eq!(world.store.entry("parts", "a").await.unwrap().unwrap().data, json!({"status": 1}));
}

/// What a step changes is told; what telling changes is not, or it would never end.
#[tokio::test]
async fn who_depends_on_what_a_step_changes_is_told() {
    let mut world = World::new().await;
    let dependants = |channel: Option<&str>| {
        let entries = globset::Glob::new("*").unwrap().compile_matcher();
        let channel = channel.map(str::to_owned);
        Rule { dependants: vec![Dependant { entries, subscriber: "ada".to_owned(), channel }], ..Rule::default() }
    };
    let rules = [("copies", dependants(Some("chat"))), ("notifications", dependants(None))];
    world.services.registries = Arc::new(Rules::new(rules.map(|(name, rule)| (name.to_owned(), rule)).into()));
    let mut texts: Vec<&str> = workflow_files().iter().map(|(_, text)| *text).collect();
    texts.push(COPY);
    world.define(&texts);
    let others = run(&mut world, "workflow.requested", requested("Copy", "wf-1", &json!({"entry": "e"}))).await;
    let store = Arc::clone(&world.store);
    let entry = async |entry: &str| store.entry("notifications", entry).await.unwrap().map(|entry| entry.data);
    for name in ["ada#copies/e", "ada#copies/e2"] {
        let told = entry(name).await.unwrap();
        assert_eq!(told["update"], json!({"change": "created", "previousVersion": 0, "version": 1}));
    }
    let mut titles = Vec::new();
    for event in others.iter().filter(|event| event.topic == "coafi.notifications") {
        let said = world.decode_json(event).await;
        assert_eq!(said["channels"], json!(["chat"]));
        titles.push(said["title"].clone());
    }
    titles.sort_by_key(Value::to_string);
    assert_eq!(titles, ["copies/e was changed", "copies/e2 was changed"]);
    assert_eq!(world.store.entries("notifications", None, 10).await.unwrap().len(), 2);
    run(&mut world, "workflow.requested", requested("Copy", "wf-2", &json!({"entry": "e"}))).await;
    assert_eq!(entry("ada#copies/e").await.unwrap()["update"], json!({"change": "updated", "previousVersion": 1, "version": 2}));
}

#[tokio::test]
async fn the_shipped_workflows_run() {
    let mut world = World::new().await;
    world.define(&workflow_files().iter().map(|(_, text)| *text).collect::<Vec<_>>());
    let file = |path: &str, valid: bool| json!({"path": path, "validationResult": {"valid": valid, "errors": []}});
    let commit = json!({
        "commitSha": "c0ffee", "repositoryUrl": "https://h/r", "branch": "main", "author": "A <a@h>",
        "fileResults": [file("a.md", true), file("b.md", false)],
    });
    let update = json!({"registryId": "parts", "entryId": "wing", "updateResult": {"change": "created"}});
    let finding = json!({"objectId": "wing", "rule": "R1", "severity": "critical"});
    let report = json!({"name": "weekly", "entries": [{"registry": "commit-reports", "entry": "https://h/r#main@c0ffee"}]});
    let subscribe = "name: Subscribe
version: 1
input: {}
steps: [{id: put, registry_update: {registry: subscriptions, entry: parts, data: {subscribers: [ada, grace]}}}]
";
    let mut texts: Vec<&str> = workflow_files().iter().map(|(_, text)| *text).collect();
    texts.push(subscribe);
    world.define(&texts);
    run(&mut world, "workflow.requested", requested("Subscribe", "s", &json!({}))).await;
    for (workflow, input) in [
        ("GitCommitProcessingWorkflow", commit),
        ("RegistryUpdateNotificationWorkflow", update),
        ("ComplianceRemediationWorkflow", finding),
        ("ReportWorkflow", report),
    ] {
        let said = run(&mut world, "workflow.requested", requested(workflow, workflow, &input)).await;
        assert_eq!(status(&world, workflow).await, "completed", "{workflow}");
        if workflow == "ComplianceRemediationWorkflow" {
            let [told, escalated] = &said[..] else { panic!("{said:?}") };
            assert_eq!(world.decode_json(told).await["title"], "Compliance: R1 of wing");
            for event in [told, escalated] {
                assert_eq!(world.decode_json(event).await["severity"], "critical");
            }
        }
    }
    let told = json!({"registryId": "parts", "entryId": "tail", "updateResult": {}, "dependants": ["alan"], "channels": ["chat"]});
    let said = run(&mut world, "workflow.requested", requested("RegistryUpdateNotificationWorkflow", "told", &told)).await;
    let [said] = &said[..] else { panic!("{said:?}") };
    assert_eq!(world.decode_json(said).await["channels"], json!(["chat"]));
    let entry = async |registry: &str, entry: &str| world.store.entry(registry, entry).await.unwrap().unwrap().data;
    assert_eq!(entry("commit-reports", "https://h/r#main@c0ffee").await["invalid"], json!(["b.md"]));
    assert_eq!(entry("notifications", "grace#parts/wing").await["update"], json!({"change": "created"}));
    assert_eq!(entry("notifications", "alan#parts/tail").await["subscriber"], "alan");
    assert_eq!(world.store.entry("notifications", "grace#parts/tail").await, Ok(None), "whom the request names, alone");
    assert_eq!(entry("escalations", "wing").await["reason"], "R1");
    let report = entry("reports", "weekly").await;
    assert_eq!(report["lines"][0]["data"]["commitSha"], "c0ffee");
    let page = world.artifact(report["artifacts"]["html"]["artifactPath"].as_str().unwrap());
    assert!(page.contains("<td>commit-reports</td>") && page.contains("\"commitSha\": \"c0ffee\""), "{page}");
}
