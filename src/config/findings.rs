//! What reading a configuration found: every setting with its origin, and every problem.

use super::error::{Problem, suggestion};

/// One setting as `coafi config show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    pub key: String,
    /// As it would be written in the file; secrets are `***`.
    pub value: String,
    /// `default`, the file or the environment variable.
    pub origin: String,
}

/// What reading has found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
    pub(super) unknown: Vec<Unknown>,
    pub(super) known_paths: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) path: String,
    pub(super) key: String,
    pub(super) origin: String,
    pub(super) siblings: Vec<String>,
}

impl Findings {
    /// Where the setting at `path`, already read, came from.
    pub(super) fn origin_of(&self, path: &str) -> String {
        self.entries.iter().find(|e| e.key == path).map_or("default", |e| &e.origin).to_owned()
    }

    /// Turns keys that nobody asked for into problems; after everything is read, so that every known key can be suggested.
    pub(super) fn into_parts(mut self) -> (Vec<Entry>, Vec<Problem>) {
        for unknown in std::mem::take(&mut self.unknown) {
            let hint = suggestion(&unknown.key, &unknown.siblings, &self.known_paths)
                .map_or(String::new(), |known| format!(" (did you mean {known:?}?)"));
            let message = format!("unknown key{hint}; allowed here: {}", unknown.siblings.join(", "));
            self.problems.push(Problem { origin: unknown.origin, key: unknown.path, message });
        }
        (self.entries, self.problems)
    }
}
