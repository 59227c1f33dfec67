//! JSON Schemas, chosen by file type and path pattern.
//!
//! Compiled once, offline: a schema that refers to a document elsewhere is refused when it is built, so that validation
//! never waits for a network. Which files there are and how they are read is for others to know.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use serde_json::Value;

use super::{FileType, Shape};

/// A schema file above this is refused.
pub const MAX_SCHEMA_BYTES: u64 = 1 << 20;

/// Which files a schema is for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRule {
    /// Paths within a repository, e.g. `docs/**/*.md`; `*` stops at `/`.
    pub pattern: String,
    /// Only files of this type; any by default.
    #[serde(default, rename = "type")]
    pub file_type: Option<FileType>,
    pub schema: SchemaSource,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum SchemaSource {
    /// A JSON file.
    Path(PathBuf),
    Inline(Value),
}

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("pattern {pattern:?}: {source}")]
    Pattern { pattern: String, source: globset::Error },
    #[error("schema {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("schema {name}: {message}")]
    Schema { name: String, message: String },
}

/// The compiled schemas of the configuration. The default has none.
#[derive(Debug, Default)]
pub struct JsonSchemas {
    rules: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    paths: GlobMatcher,
    file_type: Option<FileType>,
    shape: Shape,
}

impl JsonSchemas {
    /// Reads and compiles; the draft is the one that `$schema` names, 2020-12 where it names none.
    ///
    /// # Errors
    /// [`SchemaError`], which names the pattern or the schema.
    pub fn build(rules: &[SchemaRule]) -> Result<Self, SchemaError> {
        rules.iter().map(compile).collect::<Result<_, _>>().map(|rules| Self { rules })
    }

    /// `rules` first, then the schemas that coafi brings for Markdown front matter and for its own YAML files.
    ///
    /// # Errors
    /// [`SchemaError`], of `rules`.
    pub fn with_shipped(rules: &[SchemaRule]) -> Result<Self, SchemaError> {
        let mut all = rules.to_vec();
        all.extend(shipped()?);
        Self::build(&all)
    }

    /// Whether there is a schema for the file at `path`.
    #[must_use]
    pub fn has_rule(&self, path: &str) -> bool {
        self.rule(path).is_some()
    }

    fn rule(&self, path: &str) -> Option<&Compiled> {
        let file_type = FileType::of(path.as_bytes());
        let is_for =
            |rule: &&Compiled| rule.paths.is_match(path) && rule.file_type.is_none_or(|wanted| wanted == file_type);
        self.rules.iter().find(is_for)
    }

    /// Checks `instance`, the content of the file at `path`, against the first schema that is for it: `None` if there is
    /// none, else what is wrong, with the place in the instance (a JSON pointer); empty if nothing is.
    #[must_use]
    pub fn validate(&self, path: &str, instance: &Value) -> Option<Vec<String>> {
        Some(self.rule(path)?.shape.errors(instance))
    }
}

fn compile(rule: &SchemaRule) -> Result<Compiled, SchemaError> {
    let SchemaRule { pattern, file_type, schema } = rule;
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let paths = glob.map_err(|source| SchemaError::Pattern { pattern: pattern.clone(), source })?.compile_matcher();
    let (name, schema) = match schema {
        SchemaSource::Inline(schema) => (format!("for {pattern:?}"), schema.clone()),
        SchemaSource::Path(path) => (path.display().to_string(), read(path)?),
    };
    let shape = Shape::compile(&schema).map_err(|message| SchemaError::Schema { name, message })?;
    Ok(Compiled { paths, file_type: *file_type, shape })
}

fn read(path: &Path) -> Result<Value, SchemaError> {
    let failed = |source| SchemaError::File { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_SCHEMA_BYTES {
        return Err(failed(std::io::Error::other(format!("{size} bytes; allowed are {MAX_SCHEMA_BYTES}"))));
    }
    let text = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text)
        .map_err(|e| SchemaError::Schema { name: path.display().to_string(), message: e.to_string() })
}

/// Rules for the files of `schemas/`. Each says in `x-coafi-patterns` what it is for.
fn shipped() -> Result<Vec<SchemaRule>, SchemaError> {
    let mut rules = Vec::new();
    for (name, text) in super::json_schema_files() {
        let bad = |message: String| SchemaError::Schema { name: format!("schemas/{name}"), message };
        let schema: Value = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        let patterns = schema["x-coafi-patterns"].as_array();
        for pattern in patterns.ok_or_else(|| bad("\"x-coafi-patterns\" is missing".into()))? {
            let pattern = pattern.as_str().unwrap_or_default().to_owned();
            rules.push(SchemaRule { pattern, file_type: None, schema: SchemaSource::Inline(schema.clone()) });
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::shape::{MAX_ERROR_CHARS, MAX_ERRORS};

    fn rule(pattern: &str, schema: Value) -> SchemaRule {
        SchemaRule { pattern: pattern.into(), file_type: None, schema: SchemaSource::Inline(schema) }
    }

    #[test]
    fn the_first_rule_for_a_path_decides() {
        let markdown = SchemaRule {
            file_type: Some(FileType::Markdown),
            ..rule("docs/**", json!({"type": "object", "required": ["title"]}))
        };
        let rules = [markdown, rule("**/*.json", json!({"type": "array"})), rule("**", json!(false))];
        let schemas = JsonSchemas::build(&rules[..2]).unwrap();
        assert_eq!(schemas.validate("docs/a/b.md", &json!({"title": 1})), Some(vec![]));
        assert_eq!(schemas.validate("docs/a.md", &json!({})).unwrap(), [r#"/: "title" is a required property"#]);
        assert_eq!(schemas.validate("docs/a.json", &json!([])), Some(vec![]));
        assert_eq!(schemas.validate("README.md", &json!({})), None);
        assert_eq!(JsonSchemas::default().validate("README.md", &json!({})), None);
        assert_eq!(JsonSchemas::build(&rules).unwrap().validate("README.md", &json!({})).unwrap().len(), 1);
    }

    #[test]
    fn errors_have_places_and_bounds() {
        let items = json!({"type": "object", "properties": {"l": {"items": {"type": "string"}}}});
        let schemas = JsonSchemas::build(&[rule("*", items)]).unwrap();
        let errors = schemas.validate("a", &json!({"l": ["x", 1]})).unwrap();
        assert_eq!(errors, [r#"/l/1: 1 is not of type "string""#]);
        let many = schemas.validate("a", &json!({"l": vec![1; MAX_ERRORS + 7]})).unwrap();
        assert_eq!((many.len(), many.last().unwrap().as_str()), (MAX_ERRORS + 1, "and 7 more"));
        let long = schemas.validate("a", &json!({"l": [{"x": "ü".repeat(10_000)}]})).unwrap();
        assert!(long[0].chars().count() <= MAX_ERROR_CHARS + 1);
    }

    #[test]
    fn schemas_that_cannot_work_are_refused_when_built() {
        let check = |schema: Value, said: &str| {
            let error = JsonSchemas::build(&[rule("*", schema)]).unwrap_err().to_string();
            assert!(error.contains(said), "{error:?} should say {said:?}");
        };
        check(json!({"$ref": "https://example.org/s.json"}), "https://example.org/s.json");
        check(json!({"properties": {"a": {"$ref": "other.json#/x"}}}), "other.json#/x");
        check(json!({"type": "strin"}), "strin");
        check(json!({"pattern": "("}), "(");
        assert!(matches!(JsonSchemas::build(&[rule("a{", json!({}))]), Err(SchemaError::Pattern { .. })));
        let missing = SchemaRule { schema: SchemaSource::Path("/nowhere/s.json".into()), ..rule("*", json!({})) };
        assert!(JsonSchemas::build(&[missing]).unwrap_err().to_string().contains("/nowhere/s.json"));
    }

    #[test]
    fn the_draft_is_the_one_that_the_schema_names() {
        let draft_4 =
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 3, "exclusiveMaximum": true});
        let schemas = JsonSchemas::build(&[rule("*", draft_4)]).unwrap();
        assert_eq!(schemas.validate("a", &json!(3)).unwrap().len(), 1);
        let here = json!({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s"});
        assert_eq!(JsonSchemas::build(&[rule("*", here)]).unwrap().validate("a", &json!("x")), Some(vec![]));
    }

    #[test]
    fn a_rule_is_written_with_a_path_or_a_schema() {
        let rules: Vec<SchemaRule> = crate::yaml::from_str(
            "[{pattern: 'a/*.md', type: markdown, schema: s.json}, {pattern: b, schema: {type: object}}]",
        )
        .unwrap();
        assert_eq!(rules[0].schema, SchemaSource::Path("s.json".into()));
        assert_eq!(rules[1].schema, SchemaSource::Inline(json!({"type": "object"})));
    }

    #[test]
    fn shipped_schemas_accept_the_repositorys_own_files() {
        let schemas = JsonSchemas::with_shipped(&[]).unwrap();
        for (name, text) in crate::schema::topic_files() {
            let content: Value = crate::yaml::from_str(text).unwrap();
            assert_eq!(schemas.validate(&format!("topics/{name}"), &content), Some(vec![]), "{name}");
        }
        let front = |value: Value| schemas.validate("docs/a.md", &value).unwrap().len();
        assert_eq!(front(json!({"title": "A", "tags": ["x"], "anything": 1})), 0);
        assert_eq!(front(json!({"title": ""})), 1);
        assert_eq!(front(json!({"date": "yesterday"})), 1);
        assert_eq!(front(json!([])), 1);
        assert!(!schemas.validate("topics/coafi.x.yaml", &json!({"topic": "coafi.x"})).unwrap().is_empty());
        let routes = json!({"routes": [{"name": "a", "handlers": []}]});
        assert!(!schemas.validate("handler_routes.yaml", &routes).unwrap().is_empty());
    }
}
