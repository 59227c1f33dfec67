//! Links and images that should lead somewhere in the same commit.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::files::CommitFiles;
use super::markdown::{Document, Link};
use super::problems::{Problems, shorten};
use super::{Blob, MAX_FILE_BYTES};
use crate::dispatch::Failure;
use crate::schema::FileType;

/// Links looked up per document; a document with more is checked as far as this.
const MAX_LINKS: usize = 2_000;
/// Other documents read per document, to look for anchors.
const MAX_ANCHOR_DOCUMENTS: usize = 32;

/// Where a destination leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Another host, a mail address, or anything else with a scheme: not ours to check.
    Elsewhere,
    /// A path from the repository's root (empty: the root) and an anchor (empty: none).
    Here { path: Vec<u8>, anchor: String },
    /// Above the root.
    Outside,
}

/// What `destination` means in the file `from`. As on GitHub, `/x` starts at the repository's root.
pub(super) fn resolve(from: &[u8], destination: &str) -> Target {
    let has_scheme = destination.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    if has_scheme || destination.starts_with("//") {
        return Target::Elsewhere;
    }
    let (path, anchor) = destination.split_once('#').unwrap_or((destination, ""));
    let path = path.split('?').next().unwrap_or(path);
    let anchor = percent_decode_str(anchor).decode_utf8_lossy().into_owned();
    if path.is_empty() {
        return Target::Here { path: from.to_vec(), anchor };
    }
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let base: &[u8] = match from.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if !decoded.starts_with(b"/") => &from[..slash],
        _ => b"",
    };
    match join(base, &decoded) {
        Some(path) => Target::Here { path, anchor },
        None => Target::Outside,
    }
}

/// `base` and `relative` without `.`, `..` and empty parts; `None` above the root.
pub(super) fn join(base: &[u8], relative: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in base.split(|b| *b == b'/').chain(relative.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// Checks the links of `document`, which is the file `from`.
pub(super) async fn check(
    files: &dyn CommitFiles,
    from: &[u8],
    document: &Document,
    problems: &mut Problems,
) -> Result<(), Failure> {
    let mut exists: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut documents: HashMap<Vec<u8>, Option<Document>> = HashMap::new();
    for Link { destination, line, is_image } in document.links.iter().take(MAX_LINKS) {
        let what = if *is_image { "image" } else { "link" };
        let shown = shorten(destination, 120);
        let (path, anchor) = match resolve(from, destination) {
            Target::Elsewhere => continue,
            Target::Outside => {
                problems.add(*line, format_args!("{what} {shown:?} leads out of the repository"));
                continue;
            }
            Target::Here { path, anchor } => (path, anchor),
        };
        if path == from {
            if !document.has_anchor(&anchor) {
                problems.add(*line, format_args!("{what} {shown:?}: this document has no anchor {anchor:?}"));
            }
            continue;
        }
        let found = match exists.get(&path) {
            Some(found) => *found,
            None => {
                let found = resolves(files, &path).await?;
                exists.insert(path.clone(), found);
                found
            }
        };
        if !found {
            problems.add(*line, format_args!("{what} {shown:?} does not resolve at this commit"));
        } else if !anchor.is_empty() && FileType::of(&path) == FileType::Markdown {
            if !documents.contains_key(&path) && documents.len() < MAX_ANCHOR_DOCUMENTS {
                let other = other_document(files, &path).await?;
                documents.insert(path.clone(), other);
            }
            if let Some(Some(other)) = documents.get(&path)
                && !other.has_anchor(&anchor)
            {
                problems.add(*line, format_args!("{what} {shown:?}: that document has no anchor {anchor:?}"));
            }
        }
    }
    Ok(())
}

/// Whether there is something at `path`. What lies behind a symbolic link or in a submodule is not ours to look at, so it
/// counts as there.
pub(super) async fn resolves(files: &dyn CommitFiles, path: &[u8]) -> Result<bool, Failure> {
    if path.is_empty() || files.exists(path).await? {
        return Ok(true);
    }
    let mut end = 0;
    while let Some(slash) = path[end..].iter().position(|byte| *byte == b'/') {
        end += slash;
        match files.blob(&path[..end], 0).await? {
            Blob::Symlink(_) | Blob::Submodule(_) => return Ok(true),
            _ => end += 1,
        }
        if !files.exists(&path[..end - 1]).await? {
            return Ok(false);
        }
    }
    Ok(false)
}

async fn other_document(files: &dyn CommitFiles, path: &[u8]) -> Result<Option<Document>, Failure> {
    let Blob::Text(bytes) = files.blob(path, MAX_FILE_BYTES).await? else { return Ok(None) };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    Ok(Some(super::off_thread(text.len(), move || Document::parse(&text, &mut Problems::default())).await))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_resolve_as_on_github() {
        let here = |path: &str, anchor: &str| Target::Here { path: path.into(), anchor: anchor.to_owned() };
        for (destination, expected) in [
            ("b.md", here("docs/b.md", "")),
            ("./b.md#c", here("docs/b.md", "c")),
            ("../README.md?plain=1#x", here("README.md", "x")),
            ("/LICENSE", here("LICENSE", "")),
            ("sub/", here("docs/sub", "")),
            ("..", here("", "")),
            ("a%20b.md", here("docs/a b.md", "")),
            ("%2e%2e/%2e%2e/etc/passwd", Target::Outside),
            ("#top", here("docs/a.md", "top")),
            ("", here("docs/a.md", "")),
            ("#%C3%BC", here("docs/a.md", "ü")),
            ("../..", Target::Outside),
            ("/../x", Target::Outside),
            ("https://example.org/", Target::Elsewhere),
            ("//example.org/x", Target::Elsewhere),
            ("mailto:a@b", Target::Elsewhere),
            ("b.md:12", Target::Elsewhere),
        ] {
            assert_eq!(resolve(b"docs/a.md", destination), expected, "{destination:?}");
        }
        assert_eq!(resolve(b"a.md", "%ff.md"), Target::Here { path: b"\xff.md".to_vec(), anchor: String::new() });
    }
}
