//! Steps that make documents, over a real artifact store.

use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::local::LocalFileSystem;

use super::*;
use crate::dispatch::artifact::Artifact;
use crate::engine::{Class, Dependency};
use crate::store::CancelAsked;
use crate::workflow::Run;

const PAGE: &str = "name: Page
version: 1
input: {type: object}
steps:
  - id: page
    generate:
      name: =input.part + '/page'
      format: html
      template: |
        <h1>{{ input.part }}</h1>
output: =steps.page.output
";

fn due(step: &str) -> Value {
    json!({"workflow": "Page", "workflowId": "wf-1", "step": step, "attempt": 1})
}

async fn started() -> World {
    let mut world = World::new().await;
    world.define(&[PAGE]);
    handle(&world, "workflow.requested", &requested("Page", "wf-1", &json!({"part": "<wing>"}))).await.unwrap();
    world
}

async fn output(world: &World, id: &str) -> Value {
    let stored = world.store.workflow_run(&world.fence.group, id).await.unwrap().unwrap();
    serde_json::from_str::<Run>(&stored.run.state).unwrap().output
}

/// Paths, in order.
async fn artifacts(world: &World) -> Vec<String> {
    let listed = world.services.artifacts.list(None);
    let mut paths: Vec<String> = listed.map_ok(|file| file.location.to_string()).try_collect().await.unwrap();
    paths.sort();
    paths
}

#[tokio::test]
async fn an_attempt_that_is_made_again_finds_its_document() {
    let mut world = started().await;
    // The partition has moved before the attempt ends: its document is there, its result is not.
    let late = world.fence.clone();
    world.join("group").await;
    let current = std::mem::replace(&mut world.fence, late);
    handle(&world, "workflow.step", &due("page")).await.unwrap_err();
    let [path] = &artifacts(&world).await[..] else { panic!("one is there") };
    assert_eq!(world.artifact(path), "<h1>&lt;wing&gt;</h1>\n");
    // Whoever comes next says what is there, not what it would have written.
    world.services.artifacts.put(&path.as_str().into(), "the first".into()).await.unwrap();
    world.fence = current;
    handle(&world, "workflow.step", &due("page")).await.unwrap();
    assert_eq!(artifacts(&world).await, [path.as_str()]);
    assert!(path.starts_with("generated/Page/wing--page.") && path.ends_with(".html"), "{path}");
    assert_eq!(output(&world, "wf-1").await, json!(Artifact::new(path.clone(), b"the first")));
}

#[tokio::test]
async fn rounds_and_runs_have_documents_of_their_own() {
    let mut world = World::new().await;
    world.define(&["name: Each
version: 1
input: {type: object}
steps:
  - id: each
    for_each:
      items: '[1, 2]'
      steps: [{id: page, generate: {name: same, format: text, template: '{{ run.id }}: {{ item }}'}}]
output: =steps.each.output.map(round, round.page.artifactPath)
"]);
    for id in ["wf-1", "wf-2"] {
        run(&mut world, "workflow.requested", requested("Each", id, &json!({}))).await;
        let paths: Vec<String> = serde_json::from_value(output(&world, id).await).unwrap();
        let texts: Vec<String> = paths.iter().map(|path| world.artifact(path)).collect();
        assert_eq!(texts, [format!("{id}: 1"), format!("{id}: 2")]);
    }
    assert_eq!(artifacts(&world).await.len(), 4);
}

#[tokio::test]
async fn a_run_waits_for_the_artifact_store() {
    let mut world = started().await;
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("generated");
    std::fs::write(&in_the_way, "").unwrap();
    world.services.artifacts = Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
    let failure = handle(&world, "workflow.step", &due("page")).await.unwrap_err();
    assert_eq!(failure.class, Class::Systemic(Dependency::new(Dependency::ARTIFACTS)));
    std::fs::remove_file(&in_the_way).unwrap();
    handle(&world, "workflow.step", &due("page")).await.unwrap();
    assert_eq!(status(&world, "wf-1").await, "completed", "the attempt was not used up");
}

#[tokio::test]
async fn a_run_that_is_to_end_does_not_wait() {
    let mut world = started().await;
    let asked = CancelAsked { by: "ada".into(), reason: String::new() };
    world.store.ask_to_cancel(&world.fence.group, "wf-1", &asked).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("generated"), "").unwrap();
    world.services.artifacts = Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
    handle(&world, "workflow.step", &due("page")).await.unwrap();
    let stored = world.store.workflow_run(&world.fence.group, "wf-1").await.unwrap().unwrap();
    assert_eq!(stored.run.status, "cancelled");
    assert!(stored.run.state.contains("cancelled by ada: no reason was given; it waited: "), "{}", stored.run.state);
    world.offset += 1;
    let command = json!({"workflowId": "wf-1", "action": "cancel", "by": "ada", "reason": "never mind"});
    let said = handle(&world, "workflow.command", &command).await.unwrap();
    assert!(said.message.starts_with("nothing is done: "), "{}", said.message);
}

#[tokio::test]
async fn a_template_that_does_not_fit_fails_the_run() {
    let mut world = World::new().await;
    world.define(&[PAGE.replace("{{ input.part }}", "{{ input.prat }}").as_str()]);
    run(&mut world, "workflow.requested", requested("Page", "wf-1", &json!({"part": "wing"}))).await;
    assert_eq!((status(&world, "wf-1").await.as_str(), artifacts(&world).await.len()), ("failed", 0));
}
