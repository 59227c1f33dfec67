//! Checking our schemas against every registered version, and registering them.

use apache_avro::Schema;
use serde::Serialize;

use super::compatibility::breaks;
use super::registry::{BACKWARD_TRANSITIVE, Client, RegistryError};
use super::{SchemaFile, SchemaId, subject};
use crate::kafka::topics::Declaration;

/// A schema of ours under the subject that a topic gives it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub subject: String,
    pub file: SchemaFile,
}

/// Every schema that a topic's declaration names, under its subject.
#[must_use]
pub fn entries(declarations: &[Declaration]) -> Vec<Entry> {
    let entry = |declaration: &Declaration, file: &SchemaFile| Entry {
        subject: subject(&declaration.topic, file.record()),
        file: file.clone(),
    };
    declarations.iter().flat_map(|declared| declared.schemas.iter().map(|file| entry(declared, file))).collect()
}

/// What a check found of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub subject: String,
    /// Name of the file, e.g. `git.commit.avsc`.
    pub file: String,
    pub state: State,
    /// Why data of a registered version could not be read with our schema; empty unless `state` is incompatible.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The subject does not exist yet.
    New,
    /// Our schema is registered already.
    Registered,
    /// Registering it adds a version.
    Changed,
    Incompatible,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The registered version that breaks; `None` where the registry says so without naming one.
    pub version: Option<u32>,
    pub field: String,
    pub reason: String,
}

/// Checks every entry BACKWARD_TRANSITIVE: ours must read data of each registered version, by our own judgement and by
/// the registry's.
///
/// # Errors
/// The registry does not answer.
pub async fn check(client: &Client, entries: &[Entry]) -> Result<Vec<Finding>, RegistryError> {
    let mut findings = Vec::with_capacity(entries.len());
    for entry in entries {
        findings.push(check_one(client, entry).await?);
    }
    Ok(findings)
}

async fn check_one(client: &Client, Entry { subject, file }: &Entry) -> Result<Finding, RegistryError> {
    let finding = |state, problems| Finding {
        subject: subject.clone(),
        file: format!("{}.avsc", file.event_type()),
        state,
        problems,
    };
    let versions = match client.versions(subject).await {
        Ok(versions) => versions,
        Err(error) if error.is_absent() => return Ok(finding(State::New, Vec::new())),
        Err(error) => return Err(error),
    };
    let ours = file.parsed().expect("every file was parsed before it was known");
    let mut problems = Vec::new();
    for version in versions {
        let registered = client.version(subject, version).await?;
        let found = match Schema::parse_str(&registered.schema) {
            Ok(theirs) => breaks(&theirs, &ours).into_iter().map(|b| (b.field, b.reason)).collect(),
            Err(e) => vec![(String::new(), format!("the registered schema does not parse: {e}"))],
        };
        let version = Some(version);
        problems.extend(found.into_iter().map(|(field, reason)| Problem { version, field, reason }));
    }
    let verdict = client.compatible(subject, file.text()).await?;
    if !verdict.compatible && problems.is_empty() {
        let said =
            if verdict.messages.is_empty() { String::new() } else { format!(": {}", verdict.messages.join("; ")) };
        let reason = format!("the registry finds it incompatible{said}");
        problems.push(Problem { version: None, field: String::new(), reason });
    }
    if !problems.is_empty() {
        return Ok(finding(State::Incompatible, problems));
    }
    match client.lookup(subject, file.text()).await {
        Ok(_) => Ok(finding(State::Registered, problems)),
        Err(error) if error.is_absent() => Ok(finding(State::Changed, problems)),
        Err(error) => Err(error),
    }
}

/// The registry refuses one, or does not answer.
#[derive(Debug, thiserror::Error)]
#[error("subject {subject} is not registered; {registered} of {all} are, those before it")]
pub struct NotRegistered {
    subject: String,
    registered: usize,
    all: usize,
    #[source]
    error: RegistryError,
}

/// Registers every entry and sets its subject's level to BACKWARD_TRANSITIVE. To be called after a [`check`] without
/// incompatible findings; the registry's own check applies all the same.
///
/// # Errors
/// [`NotRegistered`].
pub async fn register(client: &Client, entries: &[Entry]) -> Result<Vec<(String, SchemaId)>, NotRegistered> {
    let mut ids = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = register_one(client, entry).await.map_err(|error| NotRegistered {
            subject: entry.subject.clone(),
            registered: ids.len(),
            all: entries.len(),
            error,
        })?;
        ids.push((entry.subject.clone(), id));
    }
    Ok(ids)
}

async fn register_one(client: &Client, Entry { subject, file }: &Entry) -> Result<SchemaId, RegistryError> {
    // Before, so that the registry checks this very version; after, for registries that want the subject first.
    match set_level(client, subject).await {
        Ok(()) => {}
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(error),
    }
    let id = client.register(subject, file.text()).await?;
    set_level(client, subject).await?;
    Ok(id)
}

/// Asked for by two at once, Apicurio makes the level for one and refuses the other, "already exists"; asked again, it changes it.
async fn set_level(client: &Client, subject: &str) -> Result<(), RegistryError> {
    match client.set_level(subject, BACKWARD_TRANSITIVE).await {
        Err(RegistryError::Refused { .. }) => client.set_level(subject, BACKWARD_TRANSITIVE).await,
        answer => answer,
    }
}
