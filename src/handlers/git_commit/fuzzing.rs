//! The target of files in repositories: Markdown, YAML and JSON, links, the names of pages.

use super::artifact;
use super::links::{self, Target as Leads};
use super::markdown::{Document, MAX_HTML_BYTES, render};
use super::problems::{MAX_ERROR_CHARS, MAX_ERRORS, Problems};
use super::{json, payload, yaml};
use crate::fuzzing::{Target, choice, text};

inventory::submit! { Target { name: "git_files", run } }

/// The first byte says what the file is.
fn run(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    if kind % 4 == 3 {
        return names(rest);
    }
    let Some(text) = text(rest) else { return };
    let mut problems = Problems::default();
    match kind % 4 {
        0 => markdown(text, &mut problems),
        1 => {
            let read = yaml::parse(text, 1, &mut problems);
            assert_eq!(read.is_none(), !problems.is_empty());
        }
        _ => {
            let read = json::parse(text, &mut problems);
            assert_eq!(read.is_none(), !problems.is_empty());
        }
    }
    let messages = problems.into_messages();
    assert!(messages.len() <= MAX_ERRORS + 1, "{messages:?}");
    assert!(messages.iter().all(|message| message.chars().count() <= MAX_ERROR_CHARS + 40), "{messages:?}");
    assert!(!messages.iter().flat_map(|message| message.chars()).any(char::is_control), "{messages:?}");
}

fn markdown(text: &str, problems: &mut Problems) {
    let document = Document::parse(text, problems);
    assert!(document.body <= text.len());
    let mut anchors: Vec<_> = document.headings.iter().map(|heading| &heading.anchor).collect();
    anchors.sort();
    anchors.dedup();
    assert_eq!(anchors.len(), document.headings.len(), "anchors are unique");
    for link in &document.links {
        lead(b"docs/guide.md", &link.destination);
    }
    let Some(html) = render(text, &document, "guide.md") else { return };
    assert!(html.len() <= MAX_HTML_BYTES);
    let small = html.to_ascii_lowercase();
    for refused in ["<script", "<iframe", "<object", "<embed", "href=\"javascript:", "src=\"javascript:"] {
        assert!(!small.contains(refused), "{refused}");
    }
}

/// A repository, and behind a line's end a path.
fn names(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (repository, path) = bytes.split_at(end);
    let path = path.get(1..).unwrap_or_default();
    let Some(repository) = text(repository) else { return };
    let artifact = artifact::page(repository, path, "x").artifact_path;
    let parts: Vec<&str> = artifact.split('/').collect();
    assert_eq!((parts.len(), parts[0]), (4, "documents"), "{artifact}");
    assert!(parts.iter().all(|part| !part.is_empty() && !part.starts_with('.') && part.len() <= 200), "{artifact}");
    assert!(object_store::path::Path::parse(&artifact).is_ok_and(|parsed| parsed.as_ref() == artifact), "{artifact}");
    let shown = payload::without_credentials(repository);
    assert_eq!(payload::without_credentials(&shown), shown, "credentials are gone at once");
    lead(path, repository);
}

/// No link leads out of the repository.
fn lead(from: &[u8], destination: &str) {
    if let Leads::Here { path, .. } = links::resolve(from, destination)
        && path != from
    {
        assert!(path.split(|byte| *byte == b'/').all(|part| part != b".."), "{destination}");
    }
}
