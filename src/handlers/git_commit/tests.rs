//! The handler on real git repositories, an SQLite store, a directory as the artifact store and the built-in registry.

pub(crate) mod world;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::world::World;
use super::*;
use crate::engine::Class;
use crate::registry::{Dependant, Rule, Rules};
use crate::store::Fence;

fn files(success: &Success) -> Vec<(String, String, bool)> {
    let results: Vec<FileResult> = serde_json::from_value(success.data["fileResults"].clone()).unwrap();
    let row = |r: FileResult| (r.path, format!("{} {}", r.status, r.file_type.name()), r.validation_result.valid);
    results.into_iter().map(row).collect()
}

fn errors_of(success: &Success, path: &str) -> Vec<String> {
    let results: Vec<FileResult> = serde_json::from_value(success.data["fileResults"].clone()).unwrap();
    results.into_iter().find(|result| result.path == path).unwrap().validation_result.errors
}

fn expect(rows: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
    rows.iter().map(|(path, what, valid)| ((*path).to_owned(), (*what).to_owned(), *valid)).collect()
}

#[tokio::test]
async fn each_file_is_validated_by_its_type() {
    let world = World::new().await;
    world.write("README.md", "# Title\n\nSee [guide](docs/guide.md#use), [none](gone.md).\n");
    world.write("docs/guide.md", "# Guide\n\n## Use\n\n[up](../README.md)\n");
    world.write("good.yaml", "a: 1\n---\nb: 2\n");
    world.write("bad.yml", "a: 1\na: 2\n");
    world.write("good.json", "{\"a\": 1}");
    world.write("bad.json", "{\"a\": 1,}");
    world.write("src/main.rs", "fn main() {}");
    let success = world.handle(&world.commit("first")).await.unwrap();
    assert_eq!(
        files(&success),
        expect(&[
            ("README.md", "added markdown", false),
            ("bad.json", "added json_data", false),
            ("bad.yml", "added yaml_config", false),
            ("docs/guide.md", "added markdown", true),
            ("good.json", "added json_data", true),
            ("good.yaml", "added yaml_config", true),
            ("src/main.rs", "added unknown", true),
        ])
    );
    assert_eq!(errors_of(&success, "README.md"), ["line 3: link \"gone.md\" does not resolve at this commit"]);
    assert_eq!(success.files_processed, Some(7));
    let summary: Summary = serde_json::from_value(success.data["summary"].clone()).unwrap();
    assert_eq!(summary.files["markdown"], Validity { valid: 1, invalid: 1 });
    assert_eq!((summary.artifacts, summary.deleted), (1, 0));
    let kinds: Vec<&str> = success.steps.iter().map(|step| step.kind.as_str()).collect();
    assert_eq!(kinds, ["FILE_PROCESSED"; 7]);
    assert_eq!(success.steps[3].detail["generation"], true);
}

#[tokio::test]
async fn valid_markdown_has_a_page_that_the_registry_names() {
    let world = World::new().await;
    world.write("docs/guide.md", "---\ntitle: The guide\n---\n## Use\n\n<script>alert(1)</script>\n");
    let sha = world.commit("first");
    world.handle(&sha).await.unwrap();
    let document = world.document("docs/guide.md").await.unwrap();
    assert_eq!((document.title.as_deref(), document.valid, document.commit_sha), (Some("The guide"), true, sha));
    let page = world.artifact(&document.artifact_path.unwrap());
    assert!(page.contains("<title>The guide</title>") && !page.contains("<script"), "{page}");
    assert_eq!(crate::dispatch::artifact::hex(&<sha2::Sha256 as sha2::Digest>::digest(&page)), document.artifact_sha256.unwrap());
}

#[tokio::test]
async fn who_depends_on_a_document_is_told_of_each_change_once() {
    let mut world = World::new().await;
    let entries = globset::Glob::new("*docs/*").unwrap().compile_matcher();
    let dependants = vec![Dependant { entries, subscriber: "writers".to_owned(), channel: Some("chat".to_owned()) }];
    let rule = Rule { dependants, ..Rule::default() };
    world.services.registries = Arc::new(Rules::new([(documents::REGISTRY.to_owned(), rule)].into()));
    world.write("docs/a.md", "# A\n");
    world.write("b.md", "# B\n");
    let mut told = Vec::new();
    for (offset, change) in [(0, "created"), (1, "deleted")] {
        world.offset = offset;
        let sha = world.commit(change);
        let success = world.handle(&sha).await.unwrap();
        assert_eq!(world.handle(&sha).await.unwrap(), success, "a second run gives the same (I9)");
        let [_, asked] = &success.emit[..] else { panic!("{success:?}") };
        let requested = world.decode_request(asked).await;
        assert_eq!((&*requested.workflow, &asked.id), (registry_changes::WORKFLOW, &requested.workflow_id));
        told.push(requested.workflow_id);
        let input: Value = serde_json::from_str(&requested.input).unwrap();
        assert!(input["entryId"].as_str().unwrap().ends_with("docs/a.md"), "{input}");
        assert_eq!(input["updateResult"], json!({"change": change, "previousVersion": offset, "version": offset + 1}));
        assert_eq!((&input["dependants"], &input["channels"]), (&json!(["writers"]), &json!(["chat"])));
        if change == "created" {
            world.remove("docs/a.md");
        }
    }
    assert_ne!(told[0], told[1]);
}

#[tokio::test]
async fn the_registry_follows_moves_deletions_and_changes_of_kind() {
    let world = World::new().await;
    let text = "# A long enough document\n\nfor git to see that it moved.\n";
    for name in ["moved.md", "deleted.md", "becomes-link.md", "swap-a.md"] {
        world.write(name, &format!("{text}{name}\n"));
    }
    world.write("swap-b.md", &format!("# Other\n\n{}\n", "quite different ".repeat(20)));
    world.handle(&world.commit("first")).await.unwrap();
    world.git(&["mv", "moved.md", "now-here.md"]);
    world.git(&["rm", "-q", "deleted.md"]);
    world.git(&["mv", "swap-a.md", "t"]);
    world.git(&["mv", "swap-b.md", "swap-a.md"]);
    world.git(&["mv", "t", "swap-b.md"]);
    world.remove("becomes-link.md");
    world.link("becomes-link.md", "now-here.md");
    let success = world.handle(&world.commit("second")).await.unwrap();
    let names: BTreeSet<String> = world.documents().await.into_iter().map(|document| document.path).collect();
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["now-here.md", "swap-a.md", "swap-b.md"]);
    assert_eq!(world.document("now-here.md").await.unwrap().moved_from.as_deref(), Some("moved.md"));
    let rows = files(&success);
    assert!(rows.contains(&("deleted.md".into(), "deleted markdown".into(), true)), "{rows:?}");
    assert!(rows.contains(&("becomes-link.md".into(), "typechange unknown".into(), true)), "{rows:?}");
    assert_eq!(success.data["summary"]["deleted"], 1);
}

#[tokio::test]
async fn specifications_are_registered_and_validated_where_there_is_a_schema() {
    let world = World::new().await;
    world.write("free.spec", "The system SHALL { be: free }\n---\n");
    world.write_bytes("binary.spec", b"\0");
    world.write("specs/good.spec", "title: Good\n");
    world.write("specs/json.spec", "{\"title\": 1}");
    world.write("specs/bad.spec", "name: Bad\n");
    let success = world.handle(&world.commit("first")).await.unwrap();
    assert_eq!(
        files(&success),
        expect(&[
            ("binary.spec", "added unknown", false),
            ("free.spec", "added unknown", true),
            ("specs/bad.spec", "added unknown", false),
            ("specs/good.spec", "added unknown", true),
            ("specs/json.spec", "added unknown", true),
        ])
    );
    let bad = world.document("specs/bad.spec").await.unwrap();
    assert_eq!((bad.file_type.as_str(), bad.valid), ("unknown", false));
    world.git(&["rm", "-q", "free.spec"]);
    world.handle(&world.commit("second")).await.unwrap();
    assert_eq!(world.document("free.spec").await, None);
}

#[tokio::test]
async fn a_branch_has_documents_of_its_own() {
    let mut world = World::new().await;
    world.write("a.md", "# On main\n");
    world.handle(&world.commit("first")).await.unwrap();
    world.git(&["checkout", "-q", "-b", "feature"]);
    world.write("b.md", "# On the feature\n");
    world.git(&["rm", "-q", "a.md"]);
    let sha = world.commit("second");
    (world.branch, world.offset) = ("feature", 1);
    world.handle(&sha).await.unwrap();
    assert_eq!((world.document("a.md").await, world.document("b.md").await.is_some()), (None, true));
    world.branch = "main";
    assert_eq!(world.document("a.md").await.unwrap().title.as_deref(), Some("On main"));
    assert_eq!(world.document("b.md").await, None);
}

#[tokio::test]
async fn a_commit_that_is_retried_late_overwrites_nothing() {
    let mut world = World::new().await;
    world.write("a.md", "# Old\n");
    world.write("gone.md", "# Gone\n");
    let old = world.commit("first");
    world.write("a.md", "# New\n");
    world.git(&["rm", "-q", "gone.md"]);
    let new = world.commit("second");
    world.offset = 1;
    world.handle(&new).await.unwrap();
    world.offset = 0;
    world.handle(&old).await.unwrap();
    assert_eq!(world.document("a.md").await.unwrap().title.as_deref(), Some("New"));
    assert_eq!(world.document("gone.md").await, None);
}

#[tokio::test]
async fn odd_files_are_results() {
    let world = World::new().await;
    world.write_bytes("binary.md", b"# A\n\0\n");
    world.write_bytes("latin1.md", b"# caf\xe9\n");
    world.write_bytes("huge.json", &vec![b' '; MAX_FILE_BYTES + 1]);
    world.write("empty.md", "");
    world.write("empty.json", "");
    world.write_named(b"name-\xff.md", "# Odd\n");
    world.write("docs/.keep", "");
    world.link("docs/up.md", "../empty.md");
    world.link("dangling.md", "nowhere.md");
    world.link("outside.md", "../../etc/passwd");
    world.link("absolute.md", "/etc/passwd");
    world.submodule("vendored.md");
    let success = world.handle(&world.commit("first")).await.unwrap();
    let checks = [
        ("binary.md", "file is binary"),
        ("latin1.md", "file is not UTF-8 at byte 5"),
        ("huge.json", "file has 4194305 bytes; at most 4194304 are allowed"),
        ("empty.json", "line 1: column 0: EOF while parsing a value"),
        ("dangling.md", "symbolic link to \"nowhere.md\" does not resolve at this commit"),
        ("outside.md", "symbolic link to \"../../etc/passwd\" leads out of the repository"),
        ("absolute.md", "symbolic link to \"/etc/passwd\" leads out of the repository"),
    ];
    for (path, error) in checks {
        assert_eq!(errors_of(&success, path), [error], "{path}");
    }
    for path in ["empty.md", "docs/up.md", "vendored.md", "name-\u{fffd}.md"] {
        assert!(errors_of(&success, path).is_empty(), "{path}");
    }
    let odd = world.document_of(b"name-\xff.md").await.unwrap();
    assert_eq!((odd.path.as_str(), odd.title.as_deref()), ("name-\u{fffd}.md", Some("Odd")));
    world.artifact(&odd.artifact_path.unwrap());
}

#[tokio::test]
async fn a_rerun_gives_the_same_outcome_and_derived_event() {
    let world = World::new().await;
    world.write("a.md", "# A\n");
    let sha = world.commit("first");
    let first = world.handle(&sha).await.unwrap();
    let requested = &first.emit[0];
    assert_eq!((requested.topic.as_str(), requested.event_type.as_str()), ("coafi.workflow", "workflow.requested"));
    assert_eq!(first.workflow_id.as_ref(), Some(&requested.id));
    let input: Value = serde_json::from_str(&world.decode_request(requested).await.input).unwrap();
    assert_eq!(input["commitSha"], json!(sha));
    assert_eq!(input["fileResults"][0]["path"], "a.md");

    assert_eq!(world.handle(&sha).await.unwrap(), first);
    assert_eq!(world.document_version("a.md").await, 1);

    // The inbox row gone, all is derived anew: the same again.
    let other = World::beside(&world).await;
    assert_eq!(other.handle(&sha).await.unwrap(), first);
}

#[tokio::test]
async fn a_redrive_runs_again() {
    let world = World::new().await;
    world.write("a.md", "# A\n");
    let sha = world.commit("first");
    let first = world.handle(&sha).await.unwrap();
    let again = world.handle_with(&sha, &[("coafi-redrive", "1")]).await.unwrap();
    assert_ne!(again.workflow_id, first.workflow_id);
    assert_eq!(world.document_version("a.md").await, 2);
}

#[tokio::test]
async fn another_run_and_another_group_have_their_own_effects() {
    let mut world = World::new().await;
    world.write("a.md", "# A\n");
    let sha = world.commit("first");
    let first = world.handle(&sha).await.unwrap();
    world.run = "2026-11".to_owned();
    let again = world.handle(&sha).await.unwrap();
    assert_ne!(again.workflow_id, first.workflow_id);
    assert_eq!(world.document_version("a.md").await, 2);
    assert_eq!(world.handle(&sha).await.unwrap(), again);
    world.join("another").await;
    world.handle(&sha).await.unwrap();
    assert_eq!(world.document_version("a.md").await, 3);
}

#[tokio::test]
async fn failures_have_their_class() {
    let world = World::new().await;
    world.write("a.md", "# A\n");
    let sha = world.commit("first");
    let class = |failure: Result<Success, Failure>| failure.unwrap_err().class;

    assert_eq!(class(world.handle_data(b"not json").await), Class::Poison);
    let bad = world.handle("HEAD").await.unwrap_err();
    assert_eq!((bad.class, bad.code, bad.errors.len()), (Class::Invalid, "invalid_payload", 1));
    assert_eq!(class(world.handle(&"0".repeat(40)).await), Class::Permanent);

    let stale = Fence { epoch: 0, ..world.fence.clone() };
    let fenced = world.handle_under(&sha, &stale).await.unwrap_err();
    assert_eq!((fenced.class, fenced.code), (Class::Transient, "fenced"));
    assert!(world.document("a.md").await.is_none());

    // A file where the store needs a directory, which stops root too.
    world.block_artifacts();
    let full = world.handle(&sha).await.unwrap_err();
    assert_eq!((full.class, full.code), (Class::Systemic(crate::engine::Dependency::new("artifacts")), "artifact_not_written"));
    assert!(world.document("a.md").await.is_none());
    world.unblock_artifacts();
    world.handle(&sha).await.unwrap();
    assert!(world.document("a.md").await.is_some());
}

#[tokio::test]
async fn a_commit_of_many_files_fits_and_all_are_registered() {
    let world = World::new().await;
    const FILES: usize = 2_000;
    for n in 0..FILES {
        world.write(&format!("d{}/{n}.json", n % 10), if n % 2 == 0 { "{}" } else { "{" });
    }
    let success = world.handle(&world.commit("import")).await.unwrap();
    let bytes = serde_json::to_vec(&success.data).unwrap().len() + serde_json::to_vec(&success.steps).unwrap().len();
    assert!(bytes < 48_000, "{bytes}");
    assert_eq!(success.data["summary"]["files"]["json_data"], json!({"valid": 1_000, "invalid": 1_000}));
    assert!(success.data["filesOmitted"].as_u64().unwrap() > 0);
    assert_eq!(world.documents().await.len(), FILES);
}
