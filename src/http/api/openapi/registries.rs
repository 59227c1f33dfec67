//! The pages of registries: examples, and how they refuse.

use serde_json::{Value, json};

use super::{ALWAYS, accepted, idempotency_key, object, outcome, prefer, problems, text};

const ENTRY: &str = "/registries/{registry}/entries/{entry}";

pub(super) fn pages(paths: &mut Value) {
    let read = [&ALWAYS[..], &[400, 403]].concat();
    let list = &mut paths["/registries"]["get"];
    example(list, json!({"registries": [{"name": "parts", "entries": 2}]}));
    problems::refer(list, &read);

    let find = &mut paths["/registries/{registry}/entries"]["get"];
    parameters(find);
    example(find, json!({"entries": [entry()], "cursor": "WzEsIjZmMWVkMDAyYWI1NTk1ODUiLCJ3aW5nLTciXQ"}));
    problems::refer(find, &[&read[..], &[404]].concat());

    let history = &mut paths[format!("{ENTRY}/history")]["get"];
    parameters(history);
    let mut version = entry();
    let members = object(&mut version);
    for not_of_a_version in ["registry", "entry"] {
        members.remove(not_of_a_version);
    }
    version["deleted"] = false.into();
    version["source"] = "/coafi/api/registry/update".into();
    version["eventId"] = "0197b5e0-0000-7000-8000-000000000007".into();
    example(history, json!({"versions": [version]}));
    problems::refer(history, &[&read[..], &[404]].concat());

    let get = &mut paths[ENTRY]["get"];
    parameters(get);
    example(get, entry());
    get["responses"]["304"]["headers"] = json!({"ETag": text("Its version in quotes")});
    problems::refer(get, &[&read[..], &[404]].concat());

    let put = &mut paths[ENTRY]["put"];
    put["requestBody"]["content"]["application/json"]["example"] = entry()["data"].clone();
    written(put);
    written(&mut paths[ENTRY]["delete"]);
}

fn entry() -> Value {
    json!({
        "registry": "parts", "entry": "wing-7", "version": 3, "data": {"status": "approved"},
        "updatedBy": "api_request", "principal": "key:ci", "updatedAt": "2026-01-01T00:00:00Z",
    })
}

fn example(operation: &mut Value, example: Value) {
    operation["responses"]["200"]["content"]["application/json"]["example"] = example;
}

fn parameters(operation: &mut Value) {
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        let example = match parameter["name"].as_str() {
            Some("registry") => "parts",
            Some("entry") => "wing-7",
            Some("If-Match" | "If-None-Match") => "\"3\"",
            Some("q") => "wing approved",
            Some("prefix") => "wing-",
            _ => continue,
        };
        parameter["example"] = example.into();
    }
}

/// A request that is published.
fn written(operation: &mut Value) {
    parameters(operation);
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.extend([idempotency_key(), prefer()]);
    }
    operation["responses"]["202"] = accepted();
    operation["responses"]["200"] = outcome();
    problems::refer(operation, &[&ALWAYS[..], &[400, 403, 404, 408, 409, 412, 413, 415, 428, 501]].concat());
}
