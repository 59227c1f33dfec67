//! Embeds `avro/`, `topics/`, `workflows/` and `schemas/` so that no list names their files.
//!
//! A shared type (`avro/shared/*.avsc`) is put in where an event's schema first names it: what reaches the registry is
//! self-contained, and a client needs no schema references to read it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut shared = Vec::new();
    for (_, text) in files(&root.join("avro/shared"), "avsc")? {
        shared.push((full_name(&text), text));
    }
    let mut code = String::new();
    let mut avro = String::new();
    for (name, text) in files(&root.join("avro"), "avsc")? {
        let text = with_shared(text, &shared);
        let constant = name.trim_end_matches(".avsc").replace(['.', '-'], "_").to_uppercase();
        writeln!(code, "pub(crate) const {constant}: &str = {text:?};").expect("a String takes all");
        write!(avro, "({name:?}, {:?}, {constant}),", full_name(&text)).expect("a String takes all");
    }
    writeln!(code, "pub(crate) const AVRO: &[(&str, &str, &str)] = &[{avro}];").expect("a String takes all");
    for (constant, folder, extension) in [
        ("TOPICS", "topics", "yaml"),
        ("WORKFLOWS", "workflows", "yaml"),
        ("JSON_SCHEMAS", "schemas", "json"),
        ("API_SCHEMAS", "schemas/api", "json"),
    ] {
        let list: String =
            files(&root.join(folder), extension)?.iter().map(|(name, text)| format!("({name:?}, {text:?}),")).collect();
        writeln!(code, "pub(crate) const {constant}: &[(&str, &str)] = &[{list}];").expect("a String takes all");
    }
    fs::write(PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("embedded.rs"), code)
}

/// Name and text of the folder's files, in order of their names.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<(String, String)>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            println!("cargo::rerun-if-changed={}", path.display());
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

/// Namespace and name of a schema file's outermost type: the first of each, as every file is laid out (a test parses all).
fn full_name(text: &str) -> String {
    format!("{}.{}", member(text, "namespace"), member(text, "name"))
}

fn member<'a>(text: &'a str, name: &str) -> &'a str {
    let quoted = format!("\"{name}\":");
    let (_, after) = text.split_once(&quoted).unwrap_or_else(|| panic!("a schema file has no {name:?}: {text}"));
    after.split('"').nth(1).unwrap_or_default()
}

/// The first mention of each shared type, as a quoted full name, is replaced by its definition.
fn with_shared(mut text: String, shared: &[(String, String)]) -> String {
    for (name, definition) in shared {
        text = text.replacen(&format!("\"{name}\""), definition.trim(), 1);
    }
    text
}
