//! Handlers reach the world only through what they are given, so that anybody can suppress it, send it to a shadow or put a double
//! in its place. What they may name is listed, and everything else is refused: a crate that nobody has thought of, too.
//!
//! A path is judged where it is written out, in a `use` or in place; what begins with a name that the file has from a `use` or a
//! `mod` was judged there. A method has no path: those that reach the world by themselves are in [`METHODS`], and types that
//! have more of them (`std::path::Path` asks the file system) are not allowed.

use std::collections::BTreeSet;
use std::path::Path;

use super::{production_code, rust_files, without_literals};

/// Everything at or below one of these.
const ALLOWED: [&str; 43] = [
    "std::borrow",
    "std::cmp",
    "std::collections",
    "std::fmt",
    "std::future",
    "std::iter",
    "std::mem",
    "std::num",
    "std::ops",
    "std::slice",
    "std::str",
    "std::sync",
    "std::time::Duration",
    // The drill's: a panic with a value, and the end of the own process, which reaches nobody else.
    "std::panic::resume_unwind",
    "std::process::abort",
    // A bound on what was given, and another thread for what computes long.
    "tokio::time::timeout",
    "tokio::task::spawn_blocking",
    // How they register themselves, when the crate is built.
    "async_trait",
    "automod",
    "inventory",
    // The replica's own log.
    "tracing",
    // Lints.
    "clippy",
    // Functions of their arguments.
    "anyhow",
    "bytes",
    "futures_util",
    "globset",
    "percent_encoding",
    "pulldown_cmark",
    "serde",
    "serde_json",
    "serde_saphyr",
    "sha2",
    "xxhash_rust",
    // Its clock and its database of time zones are not.
    "jiff::Timestamp",
    "jiff::ToSpan",
    "jiff::civil",
    "jiff::tz::TimeZone",
    // Its loaders read files.
    "minijinja::Environment",
    "minijinja::context",
    "minijinja::value",
    // The store that is given, and names in it; not those that could be made.
    "object_store::ObjectStore",
    "object_store::ObjectStoreExt",
    "object_store::path",
];

/// The same below `crate::`. The table of layers says more about some of them.
const ALLOWED_OF_OURS: [&str; 19] = [
    "dispatch",
    "engine",
    "event",
    "expression",
    "handlers",
    "notify",
    "numbers",
    "outgoing",
    "registry",
    "schema",
    "store",
    "workflow",
    "config::WrittenDuration",
    "connectors::git::Blob",
    "connectors::git::ChangeStatus",
    "connectors::git::ChangedFile",
    "connectors::git::EntryType",
    "connectors::git::Repositories",
    // Not in the product.
    "fuzzing",
];

/// What reaches the world, or brings code from elsewhere, without a path that could be judged.
const METHODS: [&str; 10] = [
    "::now",
    "TimeZone::system",
    "TimeZone::get",
    ".in_tz(",
    "print!(",
    "println!(",
    "dbg!(",
    "include!(",
    "extern ",
    "#[path",
];
/// What handlers are given, made by themselves: nobody could have silenced it.
const OF_THEIR_OWN: [&str; 4] = ["Client::new", "Notifier::new", "Endpoints::new", "Repositories::new"];

const PRIMITIVES: [&str; 17] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16", "u32", "u64", "u128",
    "usize",
];

#[test]
fn handlers_reach_the_world_through_what_they_are_given() {
    for file in rust_files("src/handlers") {
        let refused = refused(&module(&file), &production_code(&file));
        assert!(refused.is_empty(), "{}: {refused:?} is not injected: see Services and Context", file.display());
    }
}

/// Of a file in `src`, from the crate's root on.
fn module(file: &Path) -> Vec<String> {
    let name = file.with_extension("");
    let components = name.iter().skip(1).filter_map(|part| part.to_str()).filter(|part| *part != "mod");
    components.map(str::to_owned).collect()
}

/// What code in this module may not name.
fn refused(module: &[String], code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let paths = paths(&tokens);
    let mut known: BTreeSet<&str> = PRIMITIVES.into();
    known.extend(tokens.windows(2).filter(|pair| pair[0] == "mod").map(|pair| &*pair[1]));
    // A `use` may begin with what another one names; one that is refused makes nothing known, least of all its own root.
    let mut count = 0;
    while std::mem::replace(&mut count, known.len()) < known.len() {
        let imported = paths.iter().filter(|path| path.is_imported && may_name(module, &path.segments, &known));
        let names: Vec<&str> = imported.map(|path| &*path.name).collect();
        known.extend(names);
    }
    let refused = paths.iter().filter(|path| !may_name(module, &path.segments, &known));
    let words = METHODS.iter().chain(&OF_THEIR_OWN).filter(|word| code.contains(*word));
    words.map(|word| (*word).to_owned()).chain(refused.map(|path| path.segments.join("::"))).collect()
}

fn may_name(module: &[String], path: &[String], known: &BTreeSet<&str>) -> bool {
    let (root, rest) = path.split_first().expect("a path has a name");
    match &**root {
        "self" => true,
        "crate" => is_below(&ALLOWED_OF_OURS, rest),
        "super" => {
            let up = path.iter().take_while(|segment| *segment == "super").count();
            let from = &module[..module.len().saturating_sub(up)];
            is_below(&ALLOWED_OF_OURS, &[from, &path[up..]].concat())
        }
        // Types are named by a `use`, or are in every program.
        _ if root.starts_with(|first: char| first.is_ascii_uppercase()) => true,
        _ if known.contains(&**root) => true,
        _ => is_below(&ALLOWED, path),
    }
}

fn is_below(allowed: &[&str], path: &[String]) -> bool {
    allowed.iter().any(|allowed| {
        let mut segments = path.iter();
        allowed.split("::").all(|segment| segments.next().is_some_and(|named| named == segment))
    })
}

/// A path that code names.
struct Named {
    segments: Vec<String>,
    /// What it is called from then on.
    name: String,
    is_imported: bool,
}

/// Paths of more than one name, and all that a `use` names; groups are several paths.
fn paths(tokens: &[String]) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let (mut rest, mut before) = (tokens, ["", ""]);
    while let [token, after @ ..] = rest {
        let is_imported = before[1] == "use";
        // What follows a dot, or a type in angle brackets, is a member of that.
        let is_member = before[1] == "." || before == [">", "::"];
        rest = if is_imported && token == "{" || is_name(token) && !is_member {
            let left = tree(rest, &[], is_imported, &mut found);
            found.pop_if(|last| !last.is_imported && last.segments.len() < 2);
            left
        } else {
            after
        };
        let read = &tokens[..tokens.len() - rest.len()];
        before = [read.len().checked_sub(2).map_or("", |at| &*read[at]), &*read[read.len() - 1]];
    }
    found
}

/// Reads one path, or what a group makes of it, and says what is left.
fn tree<'t>(mut tokens: &'t [String], prefix: &[String], is_imported: bool, found: &mut Vec<Named>) -> &'t [String] {
    let mut segments = prefix.to_vec();
    while let [name, colons, after @ ..] = tokens
        && is_name(name)
        && colons == "::"
    {
        segments.push(name.clone());
        tokens = after;
    }
    let Some((last, mut rest)) = tokens.split_first() else { return tokens };
    if last == "{" {
        while let Some((token, after)) = rest.split_first() {
            match &**token {
                "}" => return after,
                "{" | "*" => rest = tree(rest, &segments, is_imported, found),
                name if is_name(name) => rest = tree(rest, &segments, is_imported, found),
                _ => rest = after,
            }
        }
        return rest;
    }
    let is_itself = last == "self" && !prefix.is_empty();
    let is_part = is_name(last) || last == "*";
    segments.extend((is_part && !is_itself).then(|| last.clone()));
    let name = segments.last().cloned().unwrap_or_default();
    match rest {
        [alias, name, after @ ..] if is_imported && alias == "as" => {
            found.push(Named { segments, name: name.clone(), is_imported });
            after
        }
        _ => {
            found.push(Named { segments, name, is_imported });
            // What follows a path's last colons and is no name of it is read for itself.
            if is_part { rest } else { tokens }
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// Words, double colons, and every other character by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for line in code.lines() {
        let plain = without_literals(line);
        let mut rest = plain.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let other = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            let (token, after) = rest.split_at(if word > 0 { word } else { other });
            tokens.push(token.to_owned());
            rest = after.trim_start();
        }
    }
    tokens
}

#[track_caller]
fn check(code: &str, expected: &[&str]) {
    let module = ["handlers", "greeting"].map(str::to_owned);
    assert_eq!(refused(&module, code), expected, "{code}");
}

#[test]
fn whatever_is_not_allowed_is_found() {
    // A crate that nobody has thought of.
    check("use ureq::get;", &["ureq::get"]);
    check("let answer = ureq::get(url).call()?;", &["ureq::get"]);
    check("use ureq;", &["ureq"]);
    check("use ureq::ureq;\nureq::ureq();", &["ureq::ureq", "ureq::ureq"]);
    check("use ureq as serde;\nserde::get(url);", &["ureq"]);
    check("::ureq::get(url)", &["ureq::get"]);
    check(
        "fn f(client: &reqwest::Client) -> <sqlx::Postgres as sqlx::Database>::Row {}",
        &["reqwest::Client", "sqlx::Postgres", "sqlx::Database"],
    );
    // The standard library's ways.
    check("use std::{env, sync::Arc};", &["std::env"]);
    check("use {serde_json::Value, std::{fs::{self, File}, fmt}};", &["std::fs", "std::fs::File"]);
    check(
        "use std::*;\nuse std::time::{Duration, Instant as When, SystemTime};",
        &["std::*", "std::time::Instant", "std::time::SystemTime"],
    );
    check("use std as s;\nuse core::arch;", &["std", "core::arch"]);
    check("Vec::<std::thread::Thread>::new();\nstd::process::exit(1)", &["std::thread::Thread", "std::process::exit"]);
    check("if std::path::Path::new(name).exists() {}", &["std::path::Path::new"]);
    check("let read = tokio::fs::read(path);\ntokio::spawn(run());", &["tokio::fs::read", "tokio::spawn"]);
    check("use tokio::time;\ntime::sleep(second).await;", &["tokio::time", "time::sleep"]);
    check("use object_store::{local::LocalFileSystem, path::Path};", &["object_store::local::LocalFileSystem"]);
    // By methods and macros.
    check("use jiff::Timestamp;\nTimestamp::now()", &["::now"]);
    check("println!(\"a\");\nextern crate ureq;", &["println!(", "extern "]);
    check("let client = crate::outgoing::Client::new(&[]);", &["Client::new"]);
    // Past the layers.
    check("use crate::runtime::Clock;\nuse crate::{app, store::Store};", &["crate::runtime::Clock", "crate::app"]);
    check("use super::super::runtime::Clock;", &["super::super::runtime::Clock"]);
}

#[test]
fn what_is_allowed_is_not_found() {
    check(
        "use std::{collections::BTreeMap, fmt::{self, Display}};\nfn f(f: &mut fmt::Formatter<'_>) -> fmt::Result {}",
        &[],
    );
    check("use super::{health_check, report as told};\nhealth_check::known(told::of::<u8>(i64::from(1)));", &[]);
    check("mod answer;\nlet said = answer::read(body).map(str::trim).collect::<Vec<_>>();", &[]);
    check("let a = \"std::fs::read\";\nlet b: Vec<u8> = <Vec<u8>>::new();\nself::c();\nSelf::d();\ne.fs::<u8>();", &[]);
    check("use crate::dispatch::{once, job::{self, Job}};\nonce::commit(job::refused());\nstd::process::abort()", &[]);
}
