//! From files and environment to [`Settings`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Map};

use super::error::{ConfigError, Problem};
use super::findings::{Entry, Findings};
use super::overlay;
use super::section::Section;
use super::settings::Settings;
use super::values::ENVIRONMENT_PREFIX;

/// Read from the working directory if it is there and nothing else is named.
pub const DEFAULT_FILE: &str = "coafi.yaml";
/// Names the configuration file where `--config` does not.
pub const CONFIG_VARIABLE: &str = "COAFI_CONFIG";
/// A configuration file larger than this is a mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where settings are looked for. Explicit, so that tests do not depend on the process' environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The directory in which [`DEFAULT_FILE`] is looked for; `None` looks nowhere.
    pub directory: Option<PathBuf>,
    /// Environment variables; those that do not start with `COAFI_` are ignored.
    pub environment: BTreeMap<String, String>,
}

impl Sources {
    /// `--config`, the working directory and the process' environment.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        // A variable that is not UTF-8 cannot be one of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, directory: Some(PathBuf::from(".")), environment }
    }
}

/// Valid settings and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// One entry per setting, in the order of the sections.
    pub entries: Vec<Entry>,
}

/// Reads, merges and checks. Fails with all problems at once.
///
/// # Errors
/// A file that was named but is not there, one that cannot be read or is no YAML mapping, and every unknown key and wrong
/// value. An empty file is a configuration without a key: all defaults.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut builder = Config::builder();
    let mut replaced = Vec::new();
    if let Some(path) = find_file(sources)? {
        let table = check_syntax(&path)?;
        replaced = overlay::replaced(&path.display().to_string(), &table, &sources.environment);
        builder = builder.add_source(File::from(path).format(FileFormat::Yaml));
    }
    let variables: Map<String, String> = sources.environment.clone().into_iter().collect();
    let environment =
        Environment::with_prefix(ENVIRONMENT_PREFIX).prefix_separator("__").separator("__").source(Some(variables));
    let merged = builder.add_source(environment).build().map_err(|error| ConfigError::Syntax {
        path: sources.file.clone().unwrap_or_else(|| DEFAULT_FILE.into()),
        message: error.to_string(),
    })?;

    settled(merged, replaced)
}

fn settled(merged: Config, replaced: Vec<Problem>) -> Result<Loaded, ConfigError> {
    let mut findings = Findings::default();
    let table = merged.cache.into_table().unwrap_or_default().into_iter().collect();
    let mut root = Section::root(&mut findings, table);
    let settings = Settings::read(&mut root);
    root.finish();
    let (entries, mut problems) = findings.into_parts();
    problems.splice(..0, replaced);
    if problems.is_empty() { Ok(Loaded { settings, entries }) } else { Err(ConfigError::Invalid(problems)) }
}

fn find_file(sources: &Sources) -> Result<Option<PathBuf>, ConfigError> {
    let by_variable = sources.environment.get(CONFIG_VARIABLE).filter(|value| !value.is_empty());
    let named = match (&sources.file, by_variable) {
        (Some(path), _) => Some((path.clone(), "--config")),
        (None, Some(path)) => Some((PathBuf::from(path), CONFIG_VARIABLE)),
        (None, None) => None,
    };
    if let Some((path, named_by)) = named {
        return if path.exists() { Ok(Some(path)) } else { Err(ConfigError::Missing { path, named_by }) };
    }
    let implicit = sources.directory.as_deref().map(|directory| match directory.to_str() {
        // Shown to people as they would write it.
        Some(".") => PathBuf::from(DEFAULT_FILE),
        _ => directory.join(DEFAULT_FILE),
    });
    Ok(implicit.filter(|path| path.exists()))
}

/// The file's keys. Says where the syntax is wrong. The merge itself says it too, but without telling the file apart from what it includes.
fn check_syntax(path: &Path) -> Result<BTreeMap<String, serde_json::Value>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_BYTES {
        let message = format!("it has {size} bytes; allowed: at most {MAX_FILE_BYTES}");
        return Err(unreadable(std::io::Error::other(message)));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    table(path, &text)
}

fn table(path: &Path, text: &str) -> Result<BTreeMap<String, serde_json::Value>, ConfigError> {
    match crate::yaml::from_str::<Option<BTreeMap<String, serde_json::Value>>>(text) {
        Ok(table) => Ok(table.unwrap_or_default()),
        Err(_) if text.trim().is_empty() => Ok(BTreeMap::new()),
        Err(error) => Err(ConfigError::Syntax { path: path.to_owned(), message: error.to_string() }),
    }
}

/// [`load`] of a file with this text.
#[cfg(any(test, fuzzing))]
pub(super) fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let path = Path::new(DEFAULT_FILE);
    table(path, text)?;
    let merged = Config::builder().add_source(File::from_str(text, FileFormat::Yaml)).build();
    let merged = merged.map_err(|e| ConfigError::Syntax { path: path.to_owned(), message: e.to_string() })?;
    settled(merged, Vec::new())
}
