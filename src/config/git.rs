//! The git connector's sources.

use std::path::PathBuf;
use std::time::Duration;

use globset::Glob;

use super::section::Section;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    pub repositories: Vec<Repository>,
    /// Globs over addresses of further repositories that events may name. Empty: none besides [`Self::repositories`], or,
    /// where there are none of these either, any.
    pub allowed: Vec<String>,
    /// Time between two looks at a repository; jittered by the connector.
    pub poll_interval: Duration,
    /// Mirrors of remote repositories.
    pub cache_dir: PathBuf,
    /// Of one clone or fetch.
    pub fetch_timeout: Duration,
}

/// One monitored repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// A URL or a local path.
    pub url: String,
    /// Globs over branch names.
    pub branches: Vec<String>,
    /// Globs over paths; a commit that touches none of them is no event. Empty: every commit is one.
    pub paths: Vec<String>,
    pub start: Start,
}

/// Where a repository that was never read before is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The whole history.
    History,
    /// Only what comes after the first look.
    Now,
    /// What comes after this commit.
    Commit(String),
}

impl Git {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(86_400));
        let git = Self {
            repositories: section.sections("repositories", "url", Repository::read),
            allowed: globs(section, "allowed", &[]),
            poll_interval: section.duration("poll_interval", Duration::from_secs(10), least..=most),
            cache_dir: section.path("cache_dir", ".coafi/git"),
            fetch_timeout: section.duration("fetch_timeout", Duration::from_secs(300), Duration::from_secs(1)..=most),
        };
        for (index, repository) in git.repositories.iter().enumerate() {
            if git.repositories[..index].iter().any(|earlier| earlier.url == repository.url) {
                section.reject(&format!("repositories[{index}].url"), "the repository is listed twice");
            }
        }
        git
    }
}

impl Repository {
    /// A repository with every branch and its whole history.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), branches: vec!["*".into()], paths: Vec::new(), start: Start::History }
    }

    fn read(section: &mut Section<'_>) -> Self {
        let url = section.optional_text("url");
        if url.is_none() {
            section.reject("url", "is missing; allowed: a repository's URL or path");
        }
        let branches = globs(section, "branches", &["*"]);
        let paths = globs(section, "paths", &[]);
        let allowed = "history, now, or commit:<40 hexadecimal digits>";
        let start = section.parsed("start", Start::History, allowed, Start::parse, ToString::to_string);
        Self { url: url.unwrap_or_default(), branches, paths, start }
    }
}

fn globs(section: &mut Section<'_>, key: &'static str, default: &[&str]) -> Vec<String> {
    let globs = section.texts(key, default);
    if let Some(wrong) = globs.iter().find(|glob| Glob::new(glob).is_err()) {
        section
            .reject(key, format!("{wrong:?} is not a glob; allowed: patterns such as main, release/* or docs/**/*.md"));
    }
    globs
}

impl Start {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "history" => Some(Self::History),
            "now" => Some(Self::Now),
            _ => {
                let sha = text.strip_prefix("commit:")?.trim();
                let is_sha = sha.len() == 40 && sha.bytes().all(|b| b.is_ascii_hexdigit());
                is_sha.then(|| Self::Commit(sha.to_ascii_lowercase()))
            }
        }
    }
}

impl std::fmt::Display for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::History => f.write_str("history"),
            Self::Now => f.write_str("now"),
            Self::Commit(sha) => write!(f, "commit:{sha}"),
        }
    }
}
