//! Endpoints: their names, and what the bodies of their requests are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::schema::{Shape, api_schema_files};

/// A larger schema file is refused.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;
/// Of an event's key, which comes from a body.
pub const KEY_BYTES_MAX: usize = 512;
/// Pages of the API's own, and what begins the names of all that are below.
const OWN_PAGES: [&str; 3] = ["", "openapi.json", "api/ingest/event"];
const OWN_FOLDERS: [&str; 4] = ["requests", "events", "webhooks", "registries"];

/// A name and a method. The name has no leading slash, whoever wrote it: it becomes part of schema ids and permissions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub name: String,
    pub method: String,
}

impl Endpoint {
    #[must_use]
    pub fn new(path: &str, method: &str) -> Self {
        Self { name: path.trim_matches('/').to_owned(), method: method.to_ascii_uppercase() }
    }

    /// `APIRequest.{endpoint}.{method}`
    #[must_use]
    pub fn schema_id(&self) -> String {
        format!("APIRequest.{}.{}", self.name, self.method)
    }

    /// `api:{endpoint}:{method}`
    #[must_use]
    pub fn permission(&self) -> String {
        format!("api:{}:{}", self.name, self.method)
    }
}

/// What an endpoint takes.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) shape: Shape,
    /// The JSON Schema as it was written.
    pub(super) schema: Value,
    /// Members that make the event's key.
    key: Vec<String>,
}

impl Body {
    /// The values of the key's members; `None` if the endpoint has none, or the body has none of them.
    pub(super) fn key(&self, body: &Value) -> Option<String> {
        key_of(&self.key, body)
    }
}

/// The values of these members; `None` if there are none, or the body has none of them.
pub(super) fn key_of(members: &[String], body: &Value) -> Option<String> {
    let part = |member: &String| match body.get(member)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let parts: Vec<String> = members.iter().filter_map(part).collect();
    let mut key = parts.join("/");
    key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
    (!key.is_empty()).then_some(key)
}

/// An endpoint of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFile {
    pub endpoint: Endpoint,
    pub schema: PathBuf,
    pub key: Vec<String>,
}

/// Every endpoint that there is.
#[derive(Debug)]
pub struct Catalogue {
    endpoints: BTreeMap<Endpoint, Body>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("schema {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("schema {name}: {message}")]
    Schema { name: String, message: String },
    #[error("endpoint {name} is the API's own; allowed: another path")]
    OwnPage { name: String },
}

impl Catalogue {
    /// Those that coafi brings (`schemas/api/`), and `configured` ones, which replace those of the same name.
    ///
    /// # Errors
    /// A file that cannot be read or is no JSON Schema.
    pub fn build(configured: &[EndpointFile]) -> Result<Self, CatalogueError> {
        let mut endpoints = BTreeMap::new();
        for (name, text) in api_schema_files() {
            let schema = parse(name, text.as_bytes())?;
            let member = |member: &str| schema[member].as_str().unwrap_or_default();
            let endpoint = Endpoint::new(member("x-coafi-endpoint"), member("x-coafi-method"));
            let key = schema["x-coafi-key"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let key = key.map(str::to_owned).collect();
            endpoints.insert(endpoint, body(name, schema, key)?);
        }
        for EndpointFile { endpoint, schema, key } in configured {
            if is_own_page(&endpoint.name) {
                return Err(CatalogueError::OwnPage { name: endpoint.name.clone() });
            }
            let name = schema.display().to_string();
            let failed = |source| CatalogueError::File { path: schema.clone(), source };
            let size = std::fs::metadata(schema).map_err(failed)?.len();
            if size > SCHEMA_BYTES_MAX {
                return Err(failed(std::io::Error::other(format!("{size} bytes; allowed: {SCHEMA_BYTES_MAX}"))));
            }
            let parsed = parse(&name, &std::fs::read(schema).map_err(failed)?)?;
            endpoints.insert(endpoint.clone(), body(&name, parsed, key.clone())?);
        }
        Ok(Self { endpoints })
    }

    pub(super) fn get(&self, endpoint: &Endpoint) -> Option<&Body> {
        self.endpoints.get(endpoint)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Endpoint, &Body)> {
        self.endpoints.iter()
    }

    /// The methods that an endpoint of this name has.
    pub(super) fn methods(&self, name: &str) -> Vec<&str> {
        self.endpoints.keys().filter(|known| known.name == name).map(|known| known.method.as_str()).collect()
    }
}

/// Whether the router has a page of this name, which would hide an endpoint.
fn is_own_page(name: &str) -> bool {
    OWN_PAGES.contains(&name) || OWN_FOLDERS.contains(&name.split('/').next().unwrap_or_default())
}

fn parse(name: &str, text: &[u8]) -> Result<Value, CatalogueError> {
    serde_json::from_slice(text)
        .map_err(|error| CatalogueError::Schema { name: name.to_owned(), message: error.to_string() })
}

fn body(name: &str, schema: Value, key: Vec<String>) -> Result<Body, CatalogueError> {
    let shape = Shape::compile(&schema);
    let shape = shape.map_err(|message| CatalogueError::Schema { name: name.to_owned(), message })?;
    Ok(Body { shape, schema, key })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_have_no_leading_slash_in_ids_and_permissions() {
        let endpoint = Endpoint::new("/registry/update", "post");
        assert_eq!(endpoint, Endpoint::new("registry/update/", "POST"));
        assert_eq!(endpoint.schema_id(), "APIRequest.registry/update.POST");
        assert_eq!(endpoint.permission(), "api:registry/update:POST");
    }

    #[test]
    fn the_shipped_schemas_are_of_the_endpoints_that_they_name_and_take_their_own_examples() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let names: Vec<_> = catalogue.endpoints.keys().map(Endpoint::schema_id).collect();
        assert_eq!(names, ["APIRequest.registry/update.POST", "APIRequest.workflow/start.POST"]);
        for ((endpoint, body), (name, text)) in catalogue.endpoints.iter().zip(api_schema_files()) {
            let schema: Value = serde_json::from_str(text).unwrap();
            assert_eq!(schema["title"], endpoint.schema_id(), "{name}");
            for example in schema["examples"].as_array().unwrap() {
                assert_eq!(body.shape.errors(example), [""; 0], "{name}");
            }
        }
    }

    #[test]
    fn requests_about_one_entry_have_one_key() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let key = |path, body| catalogue.get(&Endpoint::new(path, "POST")).unwrap().key(&body);
        assert_eq!(key("registry/update", json!({"registryId": "a", "entryId": "b"})).as_deref(), Some("a/b"));
        assert_eq!(key("workflow/start", json!({"workflowName": "W"})), None);
    }

    #[test]
    fn an_endpoint_of_the_configuration_replaces_a_shipped_one() {
        let directory = tempfile::tempdir().unwrap();
        let schema = directory.path().join("s.json");
        std::fs::write(&schema, r#"{"type": "array"}"#).unwrap();
        let file = |path: &str| EndpointFile {
            endpoint: Endpoint::new(path, "POST"),
            schema: schema.clone(),
            key: vec!["id".into()],
        };
        let catalogue = Catalogue::build(&[file("registry/update"), file("orders/place")]).unwrap();
        assert_eq!(catalogue.endpoints.len(), 3);
        assert!(catalogue.get(&Endpoint::new("registry/update", "POST")).unwrap().shape.errors(&json!([])).is_empty());
        assert_eq!(catalogue.methods("orders/place"), ["POST"]);
        std::fs::write(&schema, r#"{"type": "no type"}"#).unwrap();
        assert!(Catalogue::build(&[file("x")]).is_err());
        for own in ["requests/place", "/openapi.json", "api/ingest/event/"] {
            let error = Catalogue::build(&[file(own)]).unwrap_err().to_string();
            assert!(error.contains("the API's own"), "{error}");
        }
    }
}
