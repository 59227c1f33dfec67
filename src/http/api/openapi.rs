//! The API as an OpenAPI 3.1 document: pages beside their code, endpoints from the catalogue with the very JSON Schemas that
//! their bodies are checked by.

mod events;
mod problems;
mod registries;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use super::accept::Accepted;
use super::cloud_events::{BATCH, EVENTS_MAX, STRUCTURED};
use super::endpoint::{Body, Catalogue, Endpoint};
use super::problem::Document;
use super::{events as events_pages, registries as pages};
use super::{federated, ingest, status, webhooks};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "COAFI API",
        description = "Requests become events. 202 means that every in-sync replica has the event; what became of it is at \
                       the Location, or in the answer itself with Prefer: wait=N.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    paths(
        status::status,
        ingest::ingest,
        webhooks::receive,
        federated::push,
        events_pages::list::list,
        events_pages::story::story,
        pages::list::registries,
        pages::list::entries,
        pages::read::read,
        pages::write::put,
        pages::write::delete,
        pages::history::history,
    ),
    components(schemas(Document, Accepted)),
    modifiers(&Credentials),
    security(("bearer" = []), ("key" = [])),
    tags(
        (name = "requests", description = "What becomes of requests"),
        (name = "endpoints", description = "Requests for handlers"),
        (name = "registries", description = "What is known, read at once and written by handlers"),
        (name = "events", description = "CloudEvents of others, and what became of events"),
        (name = "webhooks", description = "What other services post"),
    ),
)]
struct Static;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = &mut document.components else { return };
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key or a JWT"));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key"));
        components.add_security_scheme("key", SecurityScheme::ApiKey(key));
    }
}

/// What every page may answer that asks who calls.
const ALWAYS: [u16; 4] = [401, 429, 500, 503];

/// The document.
pub(super) fn document(catalogue: &Catalogue) -> Value {
    let mut document = serde_json::to_value(Static::openapi()).expect("a document is JSON");
    // The program's version is no version of the interface's: nothing changes here because a release was made.
    document["info"]["version"] = "1".into();
    document["components"]["responses"] = problems::components();
    status_page(&mut document["paths"]["/requests/{id}"]["get"]);
    document["components"]["schemas"]["CloudEvent"] = schema("CloudEvent", event_file());
    webhook_page(&mut document["paths"]["/webhooks/{name}"]["post"]);
    registries::pages(&mut document["paths"]);
    events::pages(&mut document["paths"]);
    ingest_page(&mut document["paths"][ingest::PATH]["post"]);
    push_page(&mut document["paths"][federated::PATH]["post"]);
    for (endpoint, body) in catalogue.all() {
        let component = endpoint.schema_id().replace('/', ".");
        document["components"]["schemas"][&component] = schema(&component, body.schema.clone());
        let path = &mut document["paths"][format!("/{}", endpoint.name)];
        path[endpoint.method.to_ascii_lowercase()] = operation(endpoint, &component, body);
    }
    document
}

/// As a component: its references lead from the document's root, since few tools look for the root that an `$id` makes.
fn schema(component: &str, mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("$id");
    }
    let root = format!("#/components/schemas/{component}");
    from_root(&mut schema, &root);
    schema
}

fn from_root(schema: &mut Value, root: &str) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(reference) if name == "$ref" && reference.starts_with('#') => {
                        reference.replace_range(..1, root);
                    }
                    value => from_root(value, root),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| from_root(item, root)),
        _ => {}
    }
}

/// As its file has it.
fn event_file() -> Value {
    serde_json::from_str(include_str!("openapi/cloudevent.json")).expect("a test reads it")
}

fn status_page(operation: &mut Value) {
    let id = "0197b5e0-0000-7000-8000-000000000007";
    operation["parameters"][0]["example"] = id.into();
    operation["parameters"][1]["example"] = "/lab/runner".into();
    let ended = &mut operation["responses"]["200"];
    ended["headers"] = json!({"Retry-After": integer("Of one that is pending: seconds until it is asked for again")});
    ended["content"]["application/json"]["examples"] = json!({
        "pending": {"value": {"requestId": id, "status": "pending"}},
        "ended": {"value": {
            "requestId": id, "status": "ended", "outcome": "processed",
            "result": {"status": 200, "body": {"updateResult": {"change": "created", "previousVersion": 0, "version": 1}}},
        }},
    });
    problems::refer(operation, &[&ALWAYS[..], &[400, 404]].concat());
}

fn ingest_page(operation: &mut Value) {
    let event = json!({"$ref": "#/components/schemas/CloudEvent"});
    let example = &event_file()["examples"][0];
    operation["requestBody"] = json!({
        "required": true,
        "description": "In binary mode: the event's data, of any content type.",
        "content": {
            STRUCTURED: {"schema": event, "example": example},
            BATCH: {"schema": {"type": "array", "maxItems": EVENTS_MAX, "items": event}, "example": [example]},
        },
    });
    let attribute = |name: &str| {
        let description = format!("Binary mode: {name}, percent-encoded.");
        let schema = json!({"type": "string"});
        json!({"name": format!("ce-{name}"), "in": "header", "schema": schema, "description": description})
    };
    let binary = ["specversion", "id", "source", "type", "subject", "time", "partitionkey", "sequence"].map(attribute);
    operation["parameters"] = [&binary[..], &[prefer()]].concat().into();
    let (id, source) = (&example["id"], &example["source"]);
    let url = "/requests/run%2D7%2Dstarted?source=%2Flab%2Frunner";
    let accepted = &mut operation["responses"]["202"];
    accepted["headers"] = json!({"Location": text("Of a single event: where to ask what became of it")});
    accepted["content"]["application/json"]["example"] =
        json!({"events": [{"id": id, "source": source, "statusUrl": url}]});
    operation["responses"]["200"] = outcome();
    problems::refer(operation, &[&ALWAYS[..], &[400, 403, 404, 408, 409, 413, 415, 501]].concat());
}

fn push_page(operation: &mut Value) {
    let envelope = json!({"schema": {"type": "string"}, "example": include_str!("openapi/envelope.jwt").trim_end()});
    let content: Map<String, Value> =
        federated::MEDIA.iter().map(|media| ((*media).to_owned(), envelope.clone())).collect();
    operation["requestBody"] = json!({"required": true, "content": content});
    let example = json!({"id": "m-1", "duplicate": false});
    operation["responses"]["202"]["content"]["application/json"]["example"] = example;
    problems::refer(operation, &[&ALWAYS[..], &[400, 404, 408, 409, 413, 415]].concat());
}

fn operation(endpoint: &Endpoint, component: &str, body: &Body) -> Value {
    let description = body.schema["description"].as_str().unwrap_or_default();
    let mut content = json!({"schema": {"$ref": format!("#/components/schemas/{component}")}});
    if let Some(example) = body.schema["examples"].get(0) {
        content["example"] = example.clone();
    }
    let mut operation = json!({
        "tags": ["endpoints"],
        "operationId": operation_id(endpoint),
        "summary": format!("{} {}", endpoint.method, endpoint.name),
        "description": format!("{description}\n\nNeeds the permission `{}`.", endpoint.permission()).trim(),
        "parameters": [idempotency_key(), prefer()],
        "requestBody": {"required": true, "content": {"application/json": content}},
        "responses": {"200": outcome(), "202": accepted()},
    });
    problems::refer(&mut operation, &[&ALWAYS[..], &[400, 403, 404, 405, 408, 409, 412, 413, 415, 428, 501]].concat());
    operation
}

/// As generators make names of it: `post_registry_update`.
fn operation_id(endpoint: &Endpoint) -> String {
    let name: String =
        endpoint.name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
    format!("{}_{name}", endpoint.method.to_ascii_lowercase())
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "example": "order-1",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        "description": "Sent again under the same key, the request is the same request.",
    })
}

/// Who posts here signs, and has no credential.
fn webhook_page(operation: &mut Value) {
    operation["security"] = json!([]);
    operation["parameters"][0]["example"] = "github".into();
    operation["requestBody"] = json!({
        "required": true,
        "description": "The delivery, as its sender signed it.",
        "content": {"application/json": {"schema": {"description": "Any JSON."}, "example": {"zen": "Keep it logically awesome."}}},
    });
    for (status, example) in [
        ("200", json!({"status": "accepted"})),
        ("202", json!({"status": "accepted", "repositories": ["https://example.org/team/project"]})),
    ] {
        operation["responses"][status]["content"]["application/json"]["example"] = example;
    }
    problems::refer(operation, &[&ALWAYS[..], &[400, 404, 408, 409, 413, 415]].concat());
}

fn prefer() -> Value {
    json!({
        "name": "Prefer", "in": "header", "example": "wait=5", "schema": {"type": "string"},
        "description": "wait=N: answer with the outcome, if it comes within N seconds; its status is the outcome's.",
    })
}

fn accepted() -> Value {
    let id = "0197b5e0-0000-7000-8000-000000000007";
    let example = json!({"requestId": id, "status": "pending", "statusUrl": format!("/requests/{id}")});
    json!({
        "description": "It is published, and not handled yet",
        "headers": {"Location": text("Where to ask what became of it")},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}, "example": example}},
    })
}

fn outcome() -> Value {
    let example = json!({"updateResult": {"change": "created", "previousVersion": 0, "version": 1}});
    json!({
        "description": "With Prefer: wait=N, what the handler answered",
        "headers": {"Location": text("Where it is to be had later"), "Preference-Applied": text("How long it waited at most")},
        "content": {"application/json": {"schema": {"description": "Any JSON."}, "example": example}},
    })
}

/// A header.
fn text(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "string"}})
}

fn integer(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "integer", "minimum": 1}})
}

/// Of a JSON object that the document has.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    value.as_object_mut().expect("it is made as an object")
}
