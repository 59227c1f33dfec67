//! Every format that outlives a process, as each released version wrote it: one directory per version, never changed once
//! the version is out. During a rolling upgrade two versions read what the other one writes, and after a rollback the
//! older one goes on with what the newer one left (docs/operations.md, "Upgrade and rollback"). So:
//!
//! - what an older version wrote, today's code reads to the very same value;
//! - what today's code writes, an older version reads: it is the same bytes where nothing may differ, and compatible in both
//!   directions where fields may be added.
//!
//! A test here that fails says that a rolling upgrade or a rollback would lose or repeat something.

mod hashes;
mod headers;
mod kept;
mod offset_maps;
mod records;
mod results;
mod tables;
mod unreleased;

use std::path::{Path, PathBuf};

/// The directory of each version, oldest first.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("tests/golden/formats")).unwrap();
    let is_version = |path: &PathBuf| path.join("REVISION").exists();
    let mut versions: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(is_version).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a file of which each is `name value`.
fn lines(path: &Path) -> Vec<(String, String)> {
    let line = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text(path).lines().map(|text| line(text).unwrap_or_else(|| panic!("{}: {text:?}", path.display()))).collect()
}

/// Names and paths of the files of a directory, in order.
fn files(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_str().unwrap().to_owned(), entry.path()))
        .collect();
    files.sort();
    files
}
