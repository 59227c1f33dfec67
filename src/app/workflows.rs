//! The workflows' definitions of a process, checked against the declared topics.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use super::misconfigured::Misconfigured;
use super::topics::{declarations, known_topics};
use crate::config::Settings;
use crate::dispatch::NOTIFICATIONS_TOPIC;
use crate::kafka::topics::Declaration;
use crate::notify::Severity;
use crate::registry::KEPT_BY_HANDLERS;
use crate::schema::workflow_files;
use crate::workflow::{Definition, DefinitionError, Definitions, Known, TEXT_BYTES_MAX};

/// Files of one directory.
const FILES_MAX: usize = 500;

/// Where nobody has named a directory, and there is none.
const DEFAULT_DIR: &str = "workflows";

/// Name and text of each file in `settings.workflows_dir`, in order of their names. Nobody needs to have written any.
///
/// # Errors
/// A directory that somebody has named and that is not there, a file that cannot be read, or too many of them.
pub fn workflow_texts(settings: &Settings) -> anyhow::Result<Vec<(String, String)>> {
    let directory = &settings.workflows_dir;
    if directory == Path::new(DEFAULT_DIR) && !directory.exists() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("workflows in {} cannot be read", directory.display());
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            texts.push((path.display().to_string(), text(&path)?));
        }
        anyhow::ensure!(
            texts.len() <= FILES_MAX,
            "{} has more than {FILES_MAX} files; allowed: at most that",
            directory.display()
        );
    }
    texts.sort();
    Ok(texts)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("{} cannot be read", path.display());
    let size = std::fs::metadata(path).with_context(unreadable)?.len();
    anyhow::ensure!(
        size <= TEXT_BYTES_MAX as u64,
        "{} has {size} bytes; allowed: at most {TEXT_BYTES_MAX}",
        path.display()
    );
    std::fs::read_to_string(path).with_context(unreadable)
}

/// What definitions may refer to: topics that take events, and the types that they declare.
#[must_use]
pub fn known_emitted(settings: &Settings, declarations: &[Declaration]) -> Known {
    let handled = known_topics(declarations);
    let mut topics = BTreeMap::new();
    for declaration in declarations.iter().filter(|declaration| handled.contains_key(&declaration.topic)) {
        let types = declaration.schemas.iter().map(|file| file.event_type().to_owned());
        topics.insert(declaration.topic.clone(), types.collect());
    }
    let endpoints = settings.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let channels = settings.notifications.channels.iter().map(|channel| channel.name.clone()).collect();
    let severities = Severity::ALL.map(|severity| severity.name().to_owned()).into();
    let kept = KEPT_BY_HANDLERS.map(str::to_owned).into();
    Known { topics, endpoints, channels, severities, kept }
}

/// Parses every file; each error there is. Handlers ask for the workflows that the program was built with: those are there too,
/// but for each whose name a file has.
///
/// # Errors
/// As [`workflow_texts`]; a topic's declaration that is wrong.
pub fn check_workflows(settings: &Settings) -> anyhow::Result<Result<Definitions, Vec<DefinitionError>>> {
    let mut known = known_emitted(settings, &declarations(settings)?);
    let (mut definitions, mut errors) = (Vec::new(), Vec::new());
    for (file, text) in workflow_texts(settings).map_err(Misconfigured::by("workflows_dir"))? {
        match Definition::parse(&file, &text, Some(&known)) {
            Ok(definition) => definitions.push((file, definition)),
            Err(error) => errors.push(error),
        }
    }
    let none_written = !settings.workflows_dir.exists();
    if none_written {
        // Who has declared the topics of an earlier release is not to be stopped by workflows that nobody wrote: where it is not
        // there, their steps tell nobody.
        known.topics.entry(NOTIFICATIONS_TOPIC.to_owned()).or_default();
    }
    for (file, text) in workflow_files() {
        match Definition::parse(file, text, Some(&known)) {
            Ok(built_in) if definitions.iter().any(|(_, own)| own.name == built_in.name) => {}
            Ok(built_in) => definitions.push(((*file).to_owned(), built_in)),
            Err(error) if none_written => errors.push(error),
            // What it needs is not there, so nobody can have counted on it.
            Err(error) => tracing::warn!(%error, "a workflow that coafi was built with is left out"),
        }
    }
    if !errors.is_empty() {
        return Ok(Err(errors));
    }
    Ok(Definitions::new(definitions).map_err(|error| vec![error]))
}

/// The definitions in force.
///
/// # Errors
/// The first thing that is wrong.
pub fn workflows(settings: &Settings) -> anyhow::Result<Definitions> {
    let wrong = Misconfigured::by("workflows_dir");
    check_workflows(settings)?.map_err(|mut errors| wrong(errors.swap_remove(0)).into())
}
