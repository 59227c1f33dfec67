//! The schemas of events that a process knows: those that it was built with, and a deployment's own.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use apache_avro::Schema;
use apache_avro::schema::ResolvedSchema;

use super::avro_json::not_given_as_json;
use super::embedded::AVRO;

/// Files of a deployment's folder.
const FILES_MAX: usize = 1_000;
/// Of one of them.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Of an event type; its topics, metrics and records carry it.
const TYPE_BYTES_MAX: usize = 200;

/// One `.avsc` file, shared types put in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SchemaFile(Arc<File>);

#[derive(Debug)]
struct File {
    event_type: Cow<'static, str>,
    record: Cow<'static, str>,
    text: Cow<'static, str>,
    parsed: OnceLock<Arc<Schema>>,
}

impl SchemaFile {
    /// The type of the events whose data it describes, e.g. `git.commit`: the file's name without `.avsc`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.0.event_type
    }

    /// Full name of the record.
    #[must_use]
    pub fn record(&self) -> &str {
        &self.0.record
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The schema, which is parsed once.
    ///
    /// # Errors
    /// It is none, which is ruled out when a file is read, and by a test for those that are built in.
    pub fn parsed(&self) -> Result<Arc<Schema>, apache_avro::Error> {
        if let Some(schema) = self.0.parsed.get() {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(Schema::parse_str(self.text())?);
        Ok(Arc::clone(self.0.parsed.get_or_init(|| schema)))
    }
}

impl PartialEq for SchemaFile {
    fn eq(&self, other: &Self) -> bool {
        (self.event_type(), self.record(), self.text()) == (other.event_type(), other.record(), other.text())
    }
}

impl Eq for SchemaFile {}

/// Every schema that a process knows, in order of their files' names; one per event type and per record. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schemas(Arc<[SchemaFile]>);

/// A file of a deployment's own schemas that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct SchemaFileError {
    pub path: PathBuf,
    pub message: String,
}

impl Schemas {
    /// Those of `avro/` as they were when this was built.
    #[must_use]
    pub fn built_in() -> Self {
        static BUILT_IN: LazyLock<Schemas> = LazyLock::new(|| {
            let file = |&(name, record, text): &(&'static str, &'static str, &'static str)| {
                let event_type = name.strip_suffix(".avsc").unwrap_or(name).into();
                SchemaFile(Arc::new(File {
                    event_type,
                    record: record.into(),
                    text: text.into(),
                    parsed: OnceLock::new(),
                }))
            };
            Schemas(AVRO.iter().map(file).collect())
        });
        BUILT_IN.clone()
    }

    /// These and those of a folder's `*.avsc` files: each is named after its event type, `<type>.avsc`, and is a record with
    /// a namespace that names no type of another file.
    ///
    /// # Errors
    /// The first file that cannot be used; a folder without any is an error too.
    pub fn with_own(&self, folder: &Path) -> Result<Self, SchemaFileError> {
        let paths = avsc_files(folder)?;
        let mut files = self.0.to_vec();
        for path in paths {
            let file = read(&path)?;
            if let Some(known) = files.iter().find(|known| known.event_type() == file.event_type()) {
                let message =
                    format!("events of type {} are built in, with record {}", known.event_type(), known.record());
                return Err(error(&path, message));
            }
            if let Some(known) = files.iter().find(|known| known.record() == file.record()) {
                let message = format!("record {} is that of type {} already", known.record(), known.event_type());
                return Err(error(&path, message));
            }
            files.push(file);
        }
        files.sort_by(|one, other| one.event_type().cmp(other.event_type()));
        Ok(Self(files.into()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &SchemaFile> {
        self.0.iter()
    }

    /// The schema of the data of events of this type.
    #[must_use]
    pub fn of_type(&self, event_type: &str) -> Option<&SchemaFile> {
        self.iter().find(|file| file.event_type() == event_type)
    }

    /// The schema of the record with this full name.
    #[must_use]
    pub fn of_record(&self, record: &str) -> Option<&SchemaFile> {
        self.iter().find(|file| file.record() == record)
    }
}

/// An error and what lies behind it, such as the line of a JSON error.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn error(path: &Path, message: impl Display) -> SchemaFileError {
    SchemaFileError { path: path.to_owned(), message: message.to_string() }
}

/// In order of their names.
fn avsc_files(folder: &Path) -> Result<Vec<PathBuf>, SchemaFileError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| error(folder, e))? {
        let path = entry.map_err(|e| error(folder, e))?.path();
        // What editors and file systems put beside a file begins with a dot.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "avsc") {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(error(folder, format!("there are more than {FILES_MAX} *.avsc files; allowed: at most that")));
        }
    }
    if paths.is_empty() {
        return Err(error(folder, "no *.avsc file is there"));
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<SchemaFile, SchemaFileError> {
    let metadata = std::fs::metadata(path).map_err(|e| error(path, e))?;
    if !metadata.is_file() {
        return Err(error(path, "it is no file"));
    }
    let bytes = metadata.len();
    if bytes > FILE_BYTES_MAX {
        return Err(error(path, format!("it has {bytes} bytes; allowed: at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| error(path, e))?;
    let event_type = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let names_a_type = !event_type.is_empty()
        && event_type.len() <= TYPE_BYTES_MAX
        && event_type.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !names_a_type {
        return Err(error(
            path,
            format!(
                "it is named after no event type; allowed: letters, digits, '.', '_' and '-', at most {TYPE_BYTES_MAX} of them, and .avsc"
            ),
        ));
    }
    let wrong = |e: apache_avro::Error| error(path, format!("no Avro schema: {}", with_causes(&e)));
    let schema = Schema::parse_str(&text).map_err(wrong)?;
    // Every name is there, and once.
    ResolvedSchema::try_from(&schema).map_err(wrong)?;
    let record = match &schema {
        Schema::Record(record) if record.name.namespace().is_some() => record.name.fullname(None),
        _ => {
            return Err(error(
                path,
                "it is no record with a namespace; allowed: {\"type\": \"record\", \"namespace\": …}",
            ));
        }
    };
    if let Some(refused) = not_given_as_json(&schema) {
        return Err(error(
            path,
            format!(
                "its data is given as JSON, which has no {refused:?}; allowed: null, boolean, int, long, float, double, bytes, string, array, map, union, record, enum, timestamp-millis, timestamp-micros, date, uuid of string"
            ),
        ));
    }
    Ok(SchemaFile(Arc::new(File {
        event_type: event_type.to_owned().into(),
        record: record.into(),
        text: text.into(),
        parsed: OnceLock::from(Arc::new(schema)),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACED: &str =
        r#"{"type": "record", "name": "Placed", "namespace": "shop", "fields": [{"name": "id", "type": "string"}]}"#;

    #[test]
    fn every_built_in_schema_parses_and_has_the_name_that_its_file_gives() {
        for file in Schemas::built_in().iter() {
            let schema = file.parsed().unwrap_or_else(|e| panic!("{}: {e}", file.event_type()));
            assert_eq!(schema.name().unwrap().fullname(None), file.record(), "{}", file.event_type());
            file.text().parse::<serde_avro_fast::Schema>().unwrap_or_else(|e| panic!("{}: {e}", file.event_type()));
        }
    }

    #[test]
    fn a_shared_type_is_defined_once_and_named_afterwards() {
        let schemas = Schemas::built_in();
        let text = schemas.of_record("org.coafi.events.GitCommitEventPayload").unwrap().text();
        assert_eq!(text.matches("\"name\": \"Person\"").count(), 1);
        assert_eq!(text.matches("\"org.coafi.events.Person\"").count(), 1);
    }

    #[test]
    fn a_deployments_own_are_found_by_type_and_by_record() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("orders.placed.avsc"), PLACED).unwrap();
        std::fs::write(folder.path().join("README.md"), "no schema").unwrap();
        std::fs::write(folder.path().join("._orders.placed.avsc"), "of a file system").unwrap();
        let schemas = Schemas::built_in().with_own(folder.path()).unwrap();
        let file = schemas.of_type("orders.placed").unwrap();
        assert_eq!((file.record(), file.text()), ("shop.Placed", PLACED));
        assert_eq!(schemas.of_record("shop.Placed"), Some(file));
        assert!(schemas.of_type("git.commit").is_some() && Schemas::built_in().of_type("orders.placed").is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_file() {
        let check = |name: &str, text: &str, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("a.avsc"), PLACED.replace("Placed", "A")).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
            let refused = Schemas::built_in().with_own(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains(expected), "{refused}");
        };
        check(
            "git.commit.avsc",
            PLACED,
            "type git.commit are built in, with record org.coafi.events.GitCommitEventPayload",
        );
        check("b.avsc", &PLACED.replace("Placed", "A"), "record shop.A is that of type a already");
        check("b c.avsc", PLACED, "named after no event type");
        check(
            "b.avsc",
            "{\n}}",
            "no Avro schema: Failed to parse schema from JSON: trailing characters at line 2 column 2",
        );
        let twice = PLACED.replace(
            r#""string"}"#,
            r#""string"}, {"name": "a", "type": {"type": "enum", "name": "E", "symbols": ["x"]}},
            {"name": "b", "type": {"type": "enum", "name": "E", "symbols": ["y"]}}"#,
        );
        check("b.avsc", &twice, "E");
        check("b.avsc", "\"string\"", "no record with a namespace");
        check("b.avsc", &PLACED.replace(r#", "namespace": "shop""#, ""), "no record with a namespace");
        check("b.avsc", &PLACED.replace(r#""string""#, r#""shop.Elsewhere""#), "no Avro schema");
        check(
            "b.avsc",
            &PLACED.replace(r#""string""#, r#"{"type": "fixed", "name": "F", "size": 4}"#),
            "allowed: null",
        );
        check("b.avsc", &" ".repeat(1 + FILE_BYTES_MAX as usize), "allowed: at most 1048576");
        let empty = tempfile::tempdir().unwrap();
        let refused = Schemas::built_in().with_own(empty.path()).unwrap_err();
        assert_eq!((refused.path.as_path(), refused.message.as_str()), (empty.path(), "no *.avsc file is there"));
    }
}
