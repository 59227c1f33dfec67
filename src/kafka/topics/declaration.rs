//! One file of `topics/`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::amounts::{self, DURATION_ALLOWED, SIZE_ALLOWED};
use crate::schema::{self, SchemaFile, SchemaFileError, Schemas};

/// A topic as people declare it. A value that makes no sense cannot be constructed by [`Declaration::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub topic: String,
    /// Who answers for the topic and its schemas.
    pub owner: String,
    pub description: String,
    pub partitions: i32,
    pub replication: i32,
    /// What the records' keys are; `None` where they have none. A keyed topic keeps its number of partitions.
    pub key: Option<String>,
    /// Those of its values; declared by the full names of their records.
    pub schemas: Vec<SchemaFile>,
    pub retention: Retention,
    pub cleanup: Cleanup,
    pub max_message_bytes: u32,
    pub retry: Option<Retry>,
    pub dead_letter: Option<DeadLetter>,
    /// Further topic configuration, as Kafka names it.
    pub config: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    For(Duration),
    Unlimited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cleanup {
    Delete,
    Compact,
}

/// Retry topics: one per delay, rising.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub tiers: Vec<Duration>,
    /// Of each of them; `None` leaves it at one, or at more where a cluster has more.
    pub partitions: Option<i32>,
    pub retention: Retention,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub retention: Retention,
}

/// What is wrong with a declaration.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("{file}: {key} is {value:?}; allowed: {allowed}")]
    Value { file: String, key: &'static str, value: String, allowed: String },
    #[error("{file}: {message}")]
    Syntax { file: String, message: String },
    #[error("topic {topic:?} is declared in {first} and in {second}")]
    Twice { topic: String, first: String, second: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: no *.yaml file declares a topic", .0.display())]
    Empty(PathBuf),
    /// A schema that declarations may name.
    #[error(transparent)]
    Schema(#[from] SchemaFileError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    topic: String,
    owner: String,
    #[serde(default)]
    description: String,
    partitions: i32,
    replication: i32,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    schemas: Vec<String>,
    retention: String,
    cleanup: Cleanup,
    max_message_bytes: String,
    #[serde(default)]
    retry: Option<RawRetry>,
    #[serde(default)]
    dead_letter: Option<RawDeadLetter>,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetry {
    tiers: Vec<String>,
    #[serde(default)]
    partitions: Option<i32>,
    retention: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDeadLetter {
    retention: String,
}

/// Topic configuration that follows from other keys of a declaration.
const OWN_CONFIG: [&str; 4] = ["cleanup.policy", "retention.ms", "max.message.bytes", "min.insync.replicas"];
const MAX_PARTITIONS: i32 = 1_000;
const MAX_REPLICATION: i32 = 9;
const MAX_TIERS: usize = 8;
/// Kafka allows 249; retry and dead-letter names need room.
const MAX_NAME_BYTES: usize = 200;

impl Declaration {
    /// `known`: what `schemas` may name.
    ///
    /// # Errors
    /// [`TopicError`], which names the file, the key, the value and what is allowed.
    pub fn parse(file: &str, text: &str, known: &Schemas) -> Result<Self, TopicError> {
        let raw: Raw = crate::yaml::from_str(text)
            .map_err(|e| TopicError::Syntax { file: file.to_owned(), message: e.to_string() })?;
        let check = Check { file };
        let name_fits = !raw.topic.is_empty()
            && raw.topic.len() <= MAX_NAME_BYTES
            && raw.topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !raw.topic.trim_matches('.').is_empty();
        check.that(name_fits, "topic", &raw.topic, "letters, digits, '.', '_' and '-', at most 200 of them")?;
        check.that(!raw.owner.trim().is_empty(), "owner", &raw.owner, "a team or component")?;
        check.count("partitions", raw.partitions, MAX_PARTITIONS)?;
        check.count("replication", raw.replication, MAX_REPLICATION)?;
        let schemas = check.schemas(&raw.schemas, known)?;
        for key in raw.config.keys() {
            let allowed = format!("not {}: other keys of the declaration say that", OWN_CONFIG.join(", "));
            check.that(!OWN_CONFIG.contains(&key.as_str()), "config", key, allowed)?;
        }
        let keyed = raw.key.is_some() || raw.cleanup == Cleanup::Delete;
        check.that(keyed, "cleanup", "compact", "delete, where the records have no key")?;
        let retry = raw.retry.map(|retry| check.retry(&retry)).transpose()?;
        let dead_letter = raw.dead_letter.map(|dead| check.dead_letter(&dead)).transpose()?;
        Ok(Self {
            retention: check.retention("retention", &raw.retention)?,
            max_message_bytes: check.size("max_message_bytes", &raw.max_message_bytes)?,
            topic: raw.topic,
            owner: raw.owner,
            description: raw.description,
            partitions: raw.partitions,
            replication: raw.replication,
            key: raw.key,
            schemas,
            cleanup: raw.cleanup,
            retry,
            dead_letter,
            config: raw.config,
        })
    }
}

struct Check<'a> {
    file: &'a str,
}

impl Check<'_> {
    fn that(&self, ok: bool, key: &'static str, value: impl Display, allowed: impl Display) -> Result<(), TopicError> {
        let (file, value, allowed) = (self.file.to_owned(), value.to_string(), allowed.to_string());
        if ok { Ok(()) } else { Err(TopicError::Value { file, key, value, allowed }) }
    }

    fn schemas(&self, records: &[String], known: &Schemas) -> Result<Vec<SchemaFile>, TopicError> {
        let allowed = || known.iter().map(SchemaFile::record).collect::<Vec<_>>().join(", ");
        let mut schemas = Vec::with_capacity(records.len());
        for record in records {
            let schema = known.of_record(record);
            self.that(schema.is_some(), "schemas", record, schema.map_or_else(allowed, |_| String::new()))?;
            schemas.extend(schema.cloned());
        }
        Ok(schemas)
    }

    fn count(&self, key: &'static str, number: i32, max: i32) -> Result<(), TopicError> {
        self.that((1..=max).contains(&number), key, number, format!("1 to {max}"))
    }

    fn retention(&self, key: &'static str, text: &str) -> Result<Retention, TopicError> {
        if text == "unlimited" {
            return Ok(Retention::Unlimited);
        }
        let time = amounts::duration(text).filter(|time| !time.is_zero());
        self.that(time.is_some(), key, text, format!("unlimited, or {DURATION_ALLOWED}"))?;
        Ok(time.map_or(Retention::Unlimited, Retention::For))
    }

    fn size(&self, key: &'static str, text: &str) -> Result<u32, TopicError> {
        const LEAST: u32 = 1 << 10;
        let size = amounts::bytes(text).filter(|size| *size >= LEAST);
        self.that(size.is_some(), key, text, format!("{SIZE_ALLOWED}, from 1 KiB"))?;
        Ok(size.unwrap_or(LEAST))
    }

    fn retry(&self, raw: &RawRetry) -> Result<Retry, TopicError> {
        let count = raw.tiers.len();
        self.that((1..=MAX_TIERS).contains(&count), "retry.tiers", count, format!("1 to {MAX_TIERS} delays"))?;
        let mut tiers: Vec<Duration> = Vec::with_capacity(count);
        for text in &raw.tiers {
            let delay = amounts::duration(text).filter(|delay| tiers.last().is_none_or(|last| delay > last));
            self.that(delay.is_some(), "retry.tiers", text, format!("{DURATION_ALLOWED}, each above the one before"))?;
            tiers.extend(delay);
        }
        if let Some(partitions) = raw.partitions {
            self.count("retry.partitions", partitions, MAX_PARTITIONS)?;
        }
        let retention = self.retention("retry.retention", &raw.retention)?;
        let outlives = match (retention, tiers.last()) {
            (Retention::For(kept), Some(longest)) => kept > *longest,
            _ => true,
        };
        self.that(outlives, "retry.retention", &raw.retention, "longer than the longest delay")?;
        Ok(Retry { tiers, partitions: raw.partitions, retention })
    }

    fn dead_letter(&self, raw: &RawDeadLetter) -> Result<DeadLetter, TopicError> {
        Ok(DeadLetter { retention: self.retention("dead_letter.retention", &raw.retention)? })
    }
}

/// Parses files given as name and text; each topic may be declared once.
///
/// # Errors
/// The first [`TopicError`].
pub fn declarations<N: AsRef<str>, T: AsRef<str>>(
    files: impl IntoIterator<Item = (N, T)>,
    known: &Schemas,
) -> Result<Vec<Declaration>, TopicError> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut all = Vec::new();
    for (file, text) in files {
        let declaration = Declaration::parse(file.as_ref(), text.as_ref(), known)?;
        let second = file.as_ref().to_owned();
        if let Some(first) = seen.insert(declaration.topic.clone(), second.clone()) {
            return Err(TopicError::Twice { topic: declaration.topic, first, second });
        }
        all.push(declaration);
    }
    Ok(all)
}

/// The declarations that this binary was built with.
///
/// # Errors
/// None in a released binary: a test parses them.
pub fn embedded() -> Result<Vec<Declaration>, TopicError> {
    declarations(schema::topic_files().iter().copied(), &Schemas::built_in())
}

/// The declarations of a folder's `*.yaml` files, in order of their names.
///
/// # Errors
/// [`TopicError`]; a folder without declarations is one.
pub fn read(folder: &Path, known: &Schemas) -> Result<Vec<Declaration>, TopicError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TopicError::File { path, source }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(TopicError::Empty(folder.to_owned()));
    }
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        files.push((path.display().to_string(), std::fs::read_to_string(&path).map_err(failed(&path))?));
    }
    declarations(files, known)
}

#[cfg(test)]
mod tests;
