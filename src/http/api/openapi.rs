//! The API as an OpenAPI 3.1 document: pages beside their code, endpoints from the catalogue with the very JSON Schemas that
//! their bodies are checked by.

use serde_json::{Map, Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};

use super::accept::Accepted;
use super::endpoint::{Body, Catalogue, Endpoint};
use super::problem::{Document, PROBLEM_JSON};
use super::{ingest, status};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "COAFI API",
        description = "Requests become events. 202 means that every in-sync replica has the event; what became of it is at \
                       the Location, or in the answer itself with Prefer: wait=N.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(status::status, ingest::ingest),
    components(schemas(Document, Accepted)),
    modifiers(&Credentials),
    security(("bearer" = []), ("key" = [])),
    tags(
        (name = "requests", description = "What becomes of requests"),
        (name = "endpoints", description = "Requests for handlers"),
        (name = "events", description = "CloudEvents of others"),
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

/// The document.
pub(super) fn document(catalogue: &Catalogue) -> Value {
    let mut document = serde_json::to_value(Static::openapi()).expect("a document is JSON");
    // The program's version is no version of the interface's: nothing changes here because a release was made.
    document["info"]["version"] = "1".into();
    for (endpoint, body) in catalogue.all() {
        let component = endpoint.schema_id().replace('/', ".");
        document["components"]["schemas"][&component] = schema(&component, body);
        let path = &mut document["paths"][format!("/{}", endpoint.name)];
        path[endpoint.method.to_ascii_lowercase()] = operation(endpoint, &component, body);
    }
    document
}

/// With an id of its own, so that references within it are not taken for references into the document.
fn schema(component: &str, body: &Body) -> Value {
    let mut schema = body.schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.entry("$id").or_insert_with(|| format!("urn:coafi:schema:{component}").into());
    }
    schema
}

fn operation(endpoint: &Endpoint, component: &str, body: &Body) -> Value {
    let description = body.schema["description"].as_str().unwrap_or_default();
    json!({
        "tags": ["endpoints"],
        "operationId": component,
        "summary": format!("{} {}", endpoint.method, endpoint.name),
        "description": format!("{description}\n\nNeeds the permission `{}`.", endpoint.permission()).trim(),
        "parameters": [
            {
                "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "Sent again under the same key, the request is the same request.",
            },
            {
                "name": "Prefer", "in": "header", "schema": {"type": "string", "examples": ["wait=10"]},
                "description": "wait=N: answer with the outcome if it comes within N seconds.",
            },
        ],
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{component}")}}},
        },
        "responses": responses(),
    })
}

fn responses() -> Value {
    let mut responses = Map::new();
    let location = json!({"description": "Where to ask what became of it", "schema": {"type": "string"}});
    let accepted = json!({
        "description": "It is published, and not handled yet",
        "headers": {"Location": location},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}},
    });
    let ended = json!({
        "description": "With Prefer: wait=N, the outcome; its status is the outcome's",
        "headers": {"Location": location, "Preference-Applied": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {}}},
    });
    responses.insert("200".into(), ended);
    responses.insert("202".into(), accepted);
    for (status, description) in PROBLEMS {
        let document = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
        let problem = json!({"description": description, "content": {PROBLEM_JSON: document}});
        responses.insert((*status).into(), problem);
    }
    responses.into()
}

const PROBLEMS: &[(&str, &str)] = &[
    ("400", "The body is not JSON, or does not fit its schema"),
    ("401", "No credential, or one that is not valid"),
    ("403", "The permission is missing"),
    ("408", "The body came too slowly"),
    ("409", "Another request was made under this Idempotency-Key; or, of a caller that waited, a conflict"),
    ("413", "The body is too large"),
    ("415", "The body is not said to be JSON"),
    ("429", "Asked too often; Retry-After"),
    ("503", "Something that is needed does not answer; Retry-After"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_is_told_apart() {
        let document = document(&Catalogue::build(&[]).unwrap());
        assert_eq!(document["openapi"], "3.1.0");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let mut ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), paths.contains_key("/registry/update")), (all, true));
    }
}
