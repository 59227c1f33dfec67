//! Secrets and librdkafka properties, which may hold secrets: how a [`Section`] reads them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Secret;
use super::error::Problem;
use super::findings::Entry;
use super::section::Section;
use super::values::{ENVIRONMENT_ORIGIN, origin, plain, shown, variable};

impl Section<'_> {
    /// A secret: `key` from the environment, or the content of the file that `<key>_file` names.
    pub(super) fn secret(&mut self, key: &'static str, file_key: &'static str) -> Option<Secret> {
        let file = self.optional_text(file_key);
        let path = self.path_of(key);
        if let Some(value) = self.find(key) {
            let origin = origin(&path, &value);
            if value.origin() != Some(ENVIRONMENT_ORIGIN) {
                let message = format!(
                    "a secret does not belong in a file; allowed: {file_key:?}, or environment variable {}",
                    variable(&path)
                );
                self.findings.problems.push(Problem { origin, key: path, message });
                return None;
            }
            self.note(key, "***", origin);
            return plain(&value.kind).map(Secret::new);
        }
        self.read_secret_file(file_key, &file?)
    }

    /// The secret in the file that `file_key` names: an element of a list has no environment variable.
    pub(super) fn secret_file(&mut self, file_key: &'static str) -> Option<Secret> {
        let file = self.optional_text(file_key)?;
        self.read_secret_file(file_key, &file)
    }

    /// Secrets that are valid at the same time, one a line, in the file that `file_key` names.
    pub(super) fn secret_lines(&mut self, file_key: &'static str) -> Vec<Secret> {
        self.secret_file(file_key).map_or_else(Vec::new, |secret| lines(&secret))
    }

    /// As [`Self::secret_lines`] by names, each in an environment variable of its own: `COAFI__<SECTION>__<KEY>__<NAME>`.
    pub(super) fn named_secrets(&mut self, key: &'static str) -> BTreeMap<String, Vec<Secret>> {
        let path = self.path_of(key);
        let Some(value) = self.find(key) else {
            self.note(key, "{}", "default".into());
            return BTreeMap::new();
        };
        let mut result = BTreeMap::new();
        for (name, value) in self.table_of(&path, value) {
            let path = format!("{path}.{name}");
            let origin = origin(&path, &value);
            match plain(&value.kind) {
                Some(text) if value.origin() == Some(ENVIRONMENT_ORIGIN) => {
                    self.findings.entries.push(Entry { key: path, value: "***".to_owned(), origin });
                    result.insert(name, lines(&Secret::new(text)));
                }
                _ => {
                    let message = format!(
                        "a secret does not belong in a file; allowed: environment variable {}",
                        variable(&path)
                    );
                    self.findings.problems.push(Problem { origin, key: path, message });
                }
            }
        }
        result
    }

    /// librdkafka properties: `section` maps names to values, `files_section` names to files that hold the value.
    pub(super) fn properties(
        &mut self,
        key: &'static str,
        files_key: &'static str,
        refused: impl Fn(&str) -> Option<&'static str>,
        is_secret: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Secret> {
        let mut result = BTreeMap::new();
        for (key, from_files) in [(files_key, true), (key, false)] {
            let section_path = self.path_of(key);
            let Some(value) = self.find(key) else {
                self.note(key, "{}", "default".into());
                continue;
            };
            let mut table: Vec<_> = self.table_of(&section_path, value).into_iter().collect();
            // The environment has no dots, and goes last because it wins.
            table.sort_by_key(|(_, value)| value.origin() == Some(ENVIRONMENT_ORIGIN));
            for (name, value) in table {
                let path = format!("{section_path}.{name}");
                let origin = origin(&path, &value);
                let in_file = value.origin() != Some(ENVIRONMENT_ORIGIN);
                let property = if in_file { name.clone() } else { name.replace('_', ".") };
                let Some(text) = plain(&value.kind) else {
                    self.refuse(&path, origin, &shown(&value.kind), "text, a number, true or false");
                    continue;
                };
                if let Some(reason) = refused(&property) {
                    self.findings.problems.push(Problem { origin, key: path, message: reason.to_owned() });
                } else if from_files {
                    self.findings.entries.push(Entry {
                        key: path.clone(),
                        value: text.clone(),
                        origin: origin.clone(),
                    });
                    if let Some(secret) = self.read_file_into_secret(path, origin, &text) {
                        result.insert(property, secret);
                    }
                } else if in_file && is_secret(&property) {
                    let message =
                        format!("a secret does not belong in a file; allowed: {files_key:?}, or the environment");
                    self.findings.problems.push(Problem { origin, key: path, message });
                } else {
                    let value = if is_secret(&property) { "***".to_owned() } else { text.clone() };
                    self.findings.entries.push(Entry { key: path, value, origin });
                    result.insert(property, Secret::new(text));
                }
            }
        }
        result
    }

    fn read_secret_file(&mut self, file_key: &str, file: &str) -> Option<Secret> {
        let path = self.path_of(file_key);
        let origin = self.findings.origin_of(&path);
        self.read_file_into_secret(path, origin, file)
    }

    fn read_file_into_secret(&mut self, path: String, origin: String, file: &str) -> Option<Secret> {
        match std::fs::read_to_string(Path::new(file)) {
            Ok(content) => Some(Secret::new(content.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                let message =
                    format!("file {file:?} cannot be read: {error}; allowed: a readable file that holds the secret");
                self.findings.problems.push(Problem { origin, key: path, message });
                None
            }
        }
    }
}

fn lines(secret: &Secret) -> Vec<Secret> {
    secret.expose().lines().map(str::trim).filter(|line| !line.is_empty()).map(Secret::new).collect()
}
