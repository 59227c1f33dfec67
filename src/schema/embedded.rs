//! The files of `avro/`, `topics/`, `workflows/` and `schemas/` as they were when this was built (`build.rs` collects them).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use apache_avro::Schema;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub(crate) use generated::*;

/// One `.avsc` file, shared types put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaFile {
    /// File name, e.g. `git.commit.avsc`.
    pub file: &'static str,
    /// Full name of the record.
    pub record: &'static str,
    pub text: &'static str,
}

impl SchemaFile {
    /// The type of the events whose data it describes.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        self.file.strip_suffix(".avsc").unwrap_or(self.file)
    }

    /// The schema, which is parsed once.
    ///
    /// # Errors
    /// It is none, which a test rules out for every file.
    pub fn parsed(&self) -> Result<Arc<Schema>, apache_avro::Error> {
        static PARSED: RwLock<BTreeMap<&str, Arc<Schema>>> = RwLock::new(BTreeMap::new());
        if let Some(schema) = PARSED.read().unwrap_or_else(PoisonError::into_inner).get(self.record) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(Schema::parse_str(self.text)?);
        PARSED.write().unwrap_or_else(PoisonError::into_inner).insert(self.record, Arc::clone(&schema));
        Ok(schema)
    }
}

/// Every file of `avro/`, in order of their names.
pub fn schema_files() -> impl Iterator<Item = SchemaFile> {
    AVRO.iter().map(|&(file, record, text)| SchemaFile { file, record, text })
}

/// The schema of the record with this full name.
#[must_use]
pub fn schema_file(record: &str) -> Option<SchemaFile> {
    schema_files().find(|file| file.record == record)
}

/// Name and text of every file of `topics/`, in order of their names.
#[must_use]
pub fn topic_files() -> &'static [(&'static str, &'static str)] {
    TOPICS
}

/// Name and text of every file of `workflows/`, in order of their names.
#[must_use]
pub fn workflow_files() -> &'static [(&'static str, &'static str)] {
    WORKFLOWS
}

/// Name and text of every file of `schemas/`, in order of their names.
#[must_use]
pub fn json_schema_files() -> &'static [(&'static str, &'static str)] {
    JSON_SCHEMAS
}

/// Name and text of every file of `schemas/api/`, in order of their names.
#[must_use]
pub fn api_schema_files() -> &'static [(&'static str, &'static str)] {
    API_SCHEMAS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_parses_and_has_the_name_that_its_file_gives() {
        for file in schema_files() {
            let schema = Schema::parse_str(file.text).unwrap_or_else(|e| panic!("{}: {e}", file.file));
            assert_eq!(schema.name().unwrap().fullname(None), file.record, "{}", file.file);
            file.text.parse::<serde_avro_fast::Schema>().unwrap_or_else(|e| panic!("{}: {e}", file.file));
        }
    }

    #[test]
    fn a_shared_type_is_defined_once_and_named_afterwards() {
        let text = schema_file("org.coafi.events.GitCommitEventPayload").unwrap().text;
        assert_eq!(text.matches("\"name\": \"Person\"").count(), 1);
        assert_eq!(text.matches("\"org.coafi.events.Person\"").count(), 1);
    }
}
