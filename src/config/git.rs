//! The git connector's sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::Glob;

use super::section::Section;
use super::values::ENVIRONMENT_ORIGIN;
use crate::connectors::git::{Address, Credentials};

/// What gix sends them over.
const TLS: &str = "https://";

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
    /// What a server may send in one clone or fetch.
    pub fetch_max_bytes: u64,
}

/// One monitored repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// A URL without credentials, or a local path.
    pub url: String,
    /// Where the server wants to know who asks.
    pub credentials: Option<Credentials>,
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
            fetch_max_bytes: section.size("fetch_max_bytes", 10 << 30, 1 << 20..=1 << 40),
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
    /// A repository with every branch and its whole history; the URL may have credentials.
    #[must_use]
    pub fn new(url: impl AsRef<str>) -> Self {
        let (url, credentials) = Credentials::split(url.as_ref());
        Self { url, credentials, branches: vec!["*".into()], paths: Vec::new(), start: Start::History }
    }

    fn read(section: &mut Section<'_>) -> Self {
        let (url, credentials) = address(section);
        let branches = globs(section, "branches", &["*"]);
        let paths = globs(section, "paths", &[]);
        let allowed = "history, now, or commit:<40 hexadecimal digits>";
        let start = section.parsed("start", Start::History, allowed, Start::parse, ToString::to_string);
        Self { url, credentials, branches, paths, start }
    }
}

/// Credentials are a user and a file, or a part of a URL that comes from the environment.
fn address(section: &mut Section<'_>) -> (String, Option<Credentials>) {
    let from_file = section.table.get("url").is_some_and(|url| url.origin() != Some(ENVIRONMENT_ORIGIN));
    let parse = |text: &str| (!text.is_empty()).then(|| Credentials::split(text));
    let (url, in_url) =
        section.parsed("url", (String::new(), None), "text that is not empty", parse, |(url, _)| url.clone());
    let (username, password) = (section.optional_text("username"), section.secret_file("password_file"));
    if url.is_empty() {
        section.reject("url", "is missing; allowed: a repository's URL or path");
    } else if let Err(error) = Address::parse(&url, Path::new("/")) {
        section.reject("url", error.to_string());
    }
    if from_file && in_url.is_some() {
        section.reject("url", "a user or password does not belong in it; set \"username\" and \"password_file\"");
    }
    if username.is_some() != password.is_some() {
        section.reject("username", "allowed: with \"password_file\", or neither");
    }
    let credentials = username.zip(password).map(|(username, password)| Credentials { username, password });
    let credentials = credentials.or(in_url);
    if credentials.is_some() && !url.starts_with(TLS) {
        section
            .reject("url", "a password would be sent in the clear; allowed with a user: a URL that starts with https:");
    }
    (url, credentials)
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
