//! Registries over HTTP and on the command line, with real replicas behind them.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use super::{Api, problem, update};
use crate::http::Answer;
use crate::process::{Process, found};

impl Api {
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("X-API-Key", &self.key)], "")
    }

    /// A change of an entry of `parts`, whose outcome is waited for.
    fn change(&self, method: &str, entry: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("X-API-Key", &*self.key), ("Prefer", "wait=30")], headers].concat();
        self.ask(method, &format!("/registries/parts/entries/{entry}"), &headers, body)
    }

    /// All items on all pages of this path.
    fn pages(&self, path: &str, member: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{cursor}"));
            assert_eq!(page.status, 200, "{page:?}");
            let page = page.json();
            items.extend(page[member].as_array().unwrap().iter().cloned());
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// A replica with the API's configuration.
    fn configured_replica(&self) -> Process {
        let mut command = self.world.command(&["consume", "--config"]);
        command
            .arg(self.world.path("api.yaml"))
            .env("COAFI__KAFKA__START", "latest")
            .env("COAFI__KAFKA__MEMBERSHIP", "dynamic");
        command.env("COAFI__KAFKA__SLOT", crate::stack::unique("slot"));
        let mut replica = Process::start(command);
        replica.until_ready();
        replica
    }
}

#[test]
fn of_two_who_change_one_version_exactly_one_is_told_that_it_has_changed() {
    let api = Api::start("api_if_match");
    let _replicas = [api.configured_replica(), api.configured_replica()];
    let created = api.change("PUT", "a", &[("If-None-Match", "*")], r#"{"round":0}"#);
    assert_eq!((created.status, &created.json()["updateResult"]["change"]), (200, &json!("created")), "{created:?}");
    problem(&api.change("PUT", "a", &[("If-None-Match", "*")], "{}"), 412, "precondition-failed");
    for round in 1..=4 {
        let tag = api.get("/registries/parts/entries/a").header("etag").unwrap().to_owned();
        let write = |writer: &str| {
            let body = json!({"round": round, "writer": writer}).to_string();
            api.change("PUT", "a", &[("If-Match", &tag)], &body)
        };
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| write("one"));
            let other = scope.spawn(|| write("other"));
            (one.join().unwrap(), other.join().unwrap())
        });
        let (winner, loser) = if one.status == 200 { ("one", other) } else { ("other", one) };
        problem(&loser, 412, "precondition-failed");
        let now = api.get("/registries/parts/entries/a").json();
        assert_eq!((&now["version"], &now["data"]["writer"]), (&json!(round + 1), &json!(winner)), "{now}");
    }
    let deleted = api.change("DELETE", "a", &[("If-Match", "*")], "");
    assert_eq!((deleted.status, &deleted.json()["updateResult"]["change"]), (200, &json!("deleted")), "{deleted:?}");
    problem(&api.get("/registries/parts/entries/a"), 404, "no-such-entry");
    assert_eq!(deleted.json()["updateResult"]["version"], 6, "{deleted:?}");
    let history = api.pages("/registries/parts/entries/a/history?limit=2", "versions");
    let versions: Vec<_> = history.iter().map(|version| version["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, [6, 5, 4, 3, 2, 1]);
    assert_eq!((&history[0]["deleted"], &history[0]["principal"]), (&json!(true), &json!("key:all")));
    assert_eq!(
        (&history[5]["data"], &history[5]["source"]),
        (&json!({"round": 0}), &json!("/coafi/api/registry/update"))
    );
    // What has been deleted comes back as a version of its own, which may be changed without reading it before.
    let again = api.change("PUT", "a", &[("If-None-Match", "*")], "{}").json();
    assert_eq!(again["updateResult"], json!({"change": "created", "previousVersion": 0, "version": 7}), "{again}");
    assert_eq!(api.change("PUT", "a", &[("If-Match", "\"7\"")], "{}").json()["updateResult"]["version"], 8);
}

#[test]
fn entries_are_read_by_who_may_and_not_sent_again_to_who_has_them() {
    let api = Api::start("api_read");
    let _replica = api.configured_replica();
    let name = "a%2Fb%23%C3%BC%20c";
    assert_eq!(api.change("PUT", name, &[], r#"{"n":1}"#).status, 200);
    let path = format!("/registries/parts/entries/{name}");
    let read = api.get(&path);
    assert_eq!((read.status, read.header("etag")), (200, Some("\"1\"")), "{read:?}");
    let entry = read.json();
    assert_eq!((&entry["entry"], &entry["data"]), (&json!("a/b#ü c"), &json!({"n": 1})));
    let again = |tags: &str| api.ask("GET", &path, &[("X-API-Key", &api.key), ("If-None-Match", tags)], "");
    let unchanged = again("\"7\", W/\"1\"");
    assert_eq!((unchanged.status, unchanged.header("etag"), &*unchanged.body), (304, Some("\"1\""), ""));
    assert_eq!(again("\"7\"").status, 200);
    problem(&again("7"), 400, "invalid-precondition");
    problem(&api.ask("GET", &path, &[], ""), 401, "unauthorized");
    let forbidden = problem(&api.ask("GET", &path, &[("X-API-Key", &api.limited)], ""), 403, "forbidden");
    assert!(forbidden["detail"].as_str().unwrap().contains("api:registries/parts:GET"), "{forbidden}");
    problem(&api.ask("PUT", &path, &[("X-API-Key", &api.limited)], "{}"), 403, "forbidden");
    problem(&api.ask("PUT", &path, &[("X-API-Key", &api.key)], "[]"), 400, "invalid-body");
    problem(&api.get("/registries/parts/entries?limit=501"), 400, "invalid-query");
    problem(&api.get("/registries/parts/entries?what=1"), 400, "invalid-query");
    problem(&api.get("/registries/parts/entries?q=%2D"), 400, "invalid-query");
    problem(&api.get("/registries/parts/entries?cursor=x"), 400, "invalid-cursor");
    problem(&api.get("/registries/parts/entries/none/history"), 404, "no-such-entry");
    problem(&api.ask("POST", &path, &[("X-API-Key", &api.key)], "{}"), 405, "method-not-allowed");
    let registries = api.get("/registries").json();
    assert_eq!(registries, json!({"registries": [{"name": "parts", "entries": 1}]}));
}

#[test]
fn pages_and_searches_are_complete_while_others_write() {
    let limits = "  rate_limit: {per_second: 10000, burst: 10000}\n";
    let api = Api::configured("api_pages", limits, &[], &[]);
    let _replicas = [api.configured_replica(), api.configured_replica()];
    let names: Vec<String> = (0..40).map(|n| format!("kept-{:03}", n * 2)).collect();
    for name in &names {
        api.post("/registry/update", &update(name, &json!({"title": "Große WING", "n": name})));
    }
    found("the entries", || {
        (api.pages("/registries/parts/entries?limit=500", "entries").len() == names.len()).then_some(())
    });
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for n in 0..40 {
                let name = format!("kept-{:03}", n * 2 + 1);
                api.post("/registry/update", &update(&name, &json!({"title": "wing grosse"})));
                api.post("/registry/update", &update(&name, &Value::Null));
                api.post("/registry/update", &update("kept-040", &json!({"title": "grosse wing again"})));
            }
        });
        let mut rounds = 0;
        while !writing.is_finished() || rounds == 0 {
            rounds += 1;
            for path in ["?limit=7&prefix=kept-", "?limit=7&q=wing%20GROSSE"] {
                let found = api.pages(&format!("/registries/parts/entries{path}"), "entries");
                let found: Vec<&str> = found.iter().map(|entry| entry["entry"].as_str().unwrap()).collect();
                let different: BTreeSet<&str> = found.iter().copied().collect();
                assert_eq!(found.len(), different.len(), "none twice: {found:?}");
                assert!(names.iter().all(|name| different.contains(&**name)), "none is missing: {found:?}");
            }
        }
    });
    let named = api.pages("/registries/parts/entries?limit=500&name=-07&q=wing", "entries");
    let even = named.iter().filter(|entry| names.iter().any(|name| entry["entry"] == **name)).count();
    assert_eq!(even, 5, "{named:?}");
}

#[test]
fn what_does_not_fit_a_registrys_schema_is_refused_with_the_errors_whichever_way_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let schema = directory.path().join("parts.json");
    let shape = json!({"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}});
    std::fs::write(&schema, shape.to_string()).unwrap();
    let rules = format!(
        "registries:\n  - name: parts\n    schema: {}\n    require_match: true\n    dependants: [{{subscriber: wings}}]\n",
        schema.display()
    );
    let api = Api::configured("api_schema", &rules, &[], &[]);
    let _replica = api.configured_replica();
    let ask = |headers: &[(&str, &str)], body: &str| api.change("PUT", "wing-7", headers, body);
    problem(&ask(&[], r#"{"status":"new"}"#), 428, "precondition-required");
    let refused = problem(&ask(&[("If-None-Match", "*")], r#"{"status":7}"#), 400, "invalid-entry");
    assert!(refused["errors"][0].as_str().unwrap().contains("/status"), "{refused}");
    let post = api.post(
        "/registry/update",
        &json!({"registryId": "parts", "entryId": "wing-7", "data": {}, "expectedVersion": 0}),
    );
    problem(&post, 400, "invalid-entry");
    assert_eq!(ask(&[("If-None-Match", "*")], r#"{"status":"new"}"#).status, 200);

    // Somebody who does not know of the schema: the handler does.
    let set = ["registry", "set", "parts", "wing-7", r#"{"status":7}"#, "--expected-version", "1", "--output", "json"];
    let id = api.world.run(&set).json()["eventId"].as_str().unwrap().to_owned();
    let story = found("its end", || {
        let ended = api.world.run(&["event", "show", &id, "--output", "json"]);
        (ended.code() == Some(0)).then(|| ended.json())
    });
    assert!(story.to_string().contains("does not fit the schema of registry"), "{story}");
    assert_eq!(api.get("/registries/parts/entries/wing-7").json()["version"], 1);
}

#[test]
fn a_person_reads_searches_and_changes_registries() {
    let api = Api::start("registry_cli");
    let _replica = api.configured_replica();
    let world = &api.world;
    let json = |args: &[&str]| world.run(&[&["registry"], args, &["--output", "json"]].concat()).json();
    json(&["set", "parts", "wing-7", r#"{"status":"New, unseen"}"#]);
    found("the entry", || (world.run(&["registry", "show", "parts", "wing-7"]).code() == Some(0)).then_some(()));
    json(&["set", "parts", "wing-7", r#"{"status":"approved"}"#, "--expected-version", "1"]);
    json(&["dependants", "add", "parts", "team-wings", "--entries", "wing-*"]);
    let history = found("the second version", || {
        let history = json(&["history", "parts", "wing-7"]);
        (history["versions"].as_array().unwrap().len() == 2).then_some(history)
    });
    assert!(history["versions"][0]["principal"].as_str().unwrap().starts_with("cli:"), "{history}");
    assert_eq!(json(&["show", "parts", "wing-7"])["data"]["status"], "approved");
    assert_eq!(json(&["search", "parts", "APPROVED"])["entries"][0]["entry"], "wing-7");
    assert_eq!(world.run(&["registry", "search", "parts", "unseen"]).code(), Some(1));
    assert_eq!(world.run(&["registry", "search", "parts", "-"]).code(), Some(2));
    assert_eq!(world.run(&["registry", "show", "parts", "none"]).code(), Some(1));
    let told = found("the subscription", || {
        let told = json(&["dependants", "list", "parts"]);
        told["dependants"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&told["entries"], &told["subscriber"]), (&"wing-*".into(), &"team-wings".into()));
    let listed = world.run(&["registry", "list"]).well();
    assert!(listed.contains("parts") && listed.contains("subscriptions"), "{listed}");
    assert!(world.run(&["registry", "list", "parts", "--prefix", "wing-"]).well().contains("wing-7"));
    json(&["dependants", "remove", "parts", "team-wings", "--entries", "wing-*"]);
    found("nobody is told", || {
        json(&["dependants", "list", "parts"])["dependants"].as_array().unwrap().is_empty().then_some(())
    });
    json(&["set", "parts", "wing-7", "--delete"]);
    found("its deletion", || (world.run(&["registry", "show", "parts", "wing-7"]).code() == Some(1)).then_some(()));
    assert_eq!(world.run(&["registry", "set", "documents", "x", "{}"]).code(), Some(2));
}

#[test]
fn events_are_listed_each_outcome_once_and_told_one_by_one() {
    let api = Api::start("api_events");
    let since = jiff::Timestamp::now();
    let _replica = api.configured_replica();
    let ids: BTreeSet<String> = (0..12)
        .map(|n| super::accepted(&api.post("/registry/update", &update(&format!("e{n}"), &json!({"n": n})))))
        .collect();
    ids.iter().for_each(|id| drop(api.reply(id)));
    let query =
        format!("/events?since={since}&type=api.request&source=%2Fcoafi%2Fapi%2Fregistry%2Fupdate&outcome=processed");
    let listed = api.pages(&format!("{query}&limit=5&handler=api_request"), "events");
    let of_ours: Vec<&str> = listed
        .iter()
        .filter(|event| event["group"] == api.world.group)
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(of_ours.len(), ids.len(), "each once: {of_ours:?}");
    assert_eq!(of_ours.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), ids);
    assert!(api.pages(&format!("{query}&handler=nobody"), "events").is_empty());
    let cursor = api.get(&format!("{query}&limit=1")).json()["cursor"].as_str().unwrap().to_owned();
    problem(&api.get(&format!("/events?limit=1&cursor={cursor}")), 400, "invalid-cursor");
    problem(&api.get("/events?outcome=well"), 400, "invalid-query");
    problem(&api.get("/events?since=soon"), 400, "invalid-query");
    problem(&api.ask("GET", "/events", &[("X-API-Key", &api.limited)], ""), 403, "forbidden");

    let id = ids.first().unwrap();
    let story = api.get(&format!("/events/{id}?source=%2Fcoafi%2Fapi%2Fregistry%2Fupdate")).json();
    assert_eq!((&story["events"][0]["eventId"], &story["events"][0]["outcome"]), (&json!(id), &json!("processed")));
    problem(&api.get(&format!("/events/{id}?source=elsewhere")), 404, "no-such-event");
    problem(&api.get("/events/unheard-of"), 404, "no-such-event");
}

#[test]
fn versions_that_a_registry_does_not_keep_are_in_the_archive_alone() {
    let api = Api::configured("api_archive", "registries: [{name: parts, keep_versions: 2}]\n", &[], &[]);
    let replica = api.configured_replica();
    for n in 1..=5 {
        assert_eq!(api.change("PUT", "a", &[], &json!({"n": n}).to_string()).status, 200);
    }
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    let _another = api.configured_replica();
    let history = || api.pages("/registries/parts/entries/a/history?limit=10", "versions");
    let kept = found("the archive", || Some(history()).filter(|versions| versions.len() == 2));
    assert_eq!((&kept[0]["data"], &kept[1]["data"]), (&json!({"n": 5}), &json!({"n": 4})));
    let archive = api.world.path(".coafi/artifacts/registry-history/parts");
    let files = std::fs::read_dir(archive).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let lines: Vec<Value> = files
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect();
    let archived: BTreeSet<i64> = lines.iter().map(|line| line["version"].as_i64().unwrap()).collect();
    assert_eq!(archived, BTreeSet::from([1, 2, 3]));
    assert!(lines.iter().all(|line| line["data"]["n"] == line["version"]), "{lines:?}");
}
