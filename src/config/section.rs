//! Reads typed values out of the merged configuration and remembers where each came from.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};

use super::error::Problem;
use super::findings::{Entry, Findings, Unknown};
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::values::{ENVIRONMENT_ORIGIN, deepest, origin, plain, shown, split_list};
use super::{Callee, Endpoint};

const CALLEE_ALLOWED: &str = "an http or https URL, such as https://enrich.example/events";

/// One mapping of the configuration, being read. Every accessor gives the default when the value is absent *or* wrong (then
/// with a problem noted), so that one pass finds all problems.
pub(super) struct Section<'a> {
    pub(super) findings: &'a mut Findings,
    path: String,
    pub(super) table: BTreeMap<String, Value>,
    known: Vec<String>,
    /// Where an element of a list came from; of other mappings only their values know.
    origin: Option<String>,
}

impl<'a> Section<'a> {
    pub(super) fn root(findings: &'a mut Findings, table: BTreeMap<String, Value>) -> Self {
        Self { findings, path: String::new(), table, known: Vec::new(), origin: None }
    }

    /// Reads the mapping under `key`.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.known.push(key.to_owned());
        let path = self.path_of(key);
        let table = match self.table.remove(key) {
            None => BTreeMap::new(),
            Some(value) => self.table_of(&path, value),
        };
        let mut section = Section { findings: self.findings, path, table, known: Vec::new(), origin: None };
        let result = read(&mut section);
        section.finish();
        result
    }

    /// Reads a list of mappings; `shorthand` is the key that an element which is plain text stands for.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        shorthand: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let path = self.path_of(key);
        let Some(value) = self.find(key) else {
            self.note(key, "[]", "default".into());
            return Vec::new();
        };
        let origin = origin(&path, &value);
        let elements = match value.kind {
            ValueKind::Array(elements) => elements,
            ValueKind::String(text) => split_list(&text)
                .map(|element| Value::new(Some(&ENVIRONMENT_ORIGIN.to_owned()), element.to_owned()))
                .collect(),
            other => {
                self.refuse(&path, origin, &shown(&other), "a list");
                return Vec::new();
            }
        };
        let mut result = Vec::new();
        for (index, element) in elements.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let table = match element.kind {
                ValueKind::String(_) => BTreeMap::from([(shorthand.to_owned(), element)]),
                _ => self.table_of(&path, element),
            };
            let origin = Some(origin.clone());
            let mut section = Section { findings: self.findings, path, table, known: Vec::new(), origin };
            result.push(read(&mut section));
            section.finish();
        }
        result
    }

    /// Notes every key that was not asked for.
    pub(super) fn finish(mut self) {
        for (key, value) in std::mem::take(&mut self.table) {
            let path = self.path_of(&key);
            let origin = origin(&path, deepest(&value));
            self.findings.unknown.push(Unknown { path, key, origin, siblings: self.known.clone() });
        }
        let paths: Vec<String> = self.known.iter().map(|key| self.path_of(key)).collect();
        self.findings.known_paths.extend(paths);
    }

    pub(super) fn text(&mut self, key: &'static str, default: &str) -> String {
        self.value(
            key,
            default.to_owned(),
            "text that is not empty",
            |t| (!t.is_empty()).then(|| t.to_owned()),
            Clone::clone,
        )
    }

    pub(super) fn optional_text(&mut self, key: &'static str) -> Option<String> {
        let parse = |t: &str| (!t.is_empty()).then(|| Some(t.to_owned()));
        self.value(key, None, "text that is not empty", parse, |v| v.clone().unwrap_or_default())
    }

    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        self.text(key, default).into()
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let parse = |t: &str| t.parse::<bool>().ok();
        self.value(key, default, "true or false", parse, ToString::to_string)
    }

    pub(super) fn integer<T>(&mut self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: std::str::FromStr + PartialOrd + Display + Copy,
    {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |t: &str| t.parse::<T>().ok().filter(|v| range.contains(v));
        self.value(key, default, &allowed, parse, ToString::to_string)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
        let allowed = format!("a duration from {least} to {most}, such as 100ms, 10s or 1m");
        let parse = |t: &str| parse_duration(t).filter(|v| range.contains(v));
        self.value(key, default, &allowed, parse, |v| format_duration(*v))
    }

    pub(super) fn size(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let (least, most) = (format_size(*range.start()), format_size(*range.end()));
        let allowed = format!("a size from {least} to {most}, such as 512KiB or 64MiB");
        let parse = |t: &str| parse_size(t).filter(|v| range.contains(v));
        self.value(key, default, &allowed, parse, |v| format_size(*v))
    }

    /// One of a few names; the first is the default.
    pub(super) fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, names: &[(&'static str, T)]) -> T {
        let allowed = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let parse = |t: &str| names.iter().find(|(name, _)| *name == t).map(|(_, v)| *v);
        let show = |v: &T| names.iter().find(|(_, named)| named == v).map_or("", |(name, _)| *name).to_owned();
        self.value(key, names[0].1, &allowed, parse, show)
    }

    /// Anything that parses from text.
    pub(super) fn parsed<T: Clone>(
        &mut self,
        key: &'static str,
        default: T,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
        show: impl Fn(&T) -> String,
    ) -> T {
        self.value(key, default, allowed, parse, show)
    }

    /// A URL with one of these schemes. A password in it is refused unless it comes from the environment.
    pub(super) fn endpoint(&mut self, key: &'static str, default: &str, schemes: &[&str]) -> Endpoint {
        let default = Endpoint::parse(default).expect("a default URL is a URL");
        let allowed = format!("a URL that starts with {}", schemes.join(": or ") + ":");
        let from_file = self.table.get(key).is_some_and(|v| v.origin() != Some(ENVIRONMENT_ORIGIN));
        let parse = |t: &str| Endpoint::parse(t).filter(|url| schemes.contains(&url.scheme()));
        let endpoint = self.value(key, default.clone(), &allowed, parse, ToString::to_string);
        if from_file && endpoint.has_password() {
            self.reject(
                key,
                "a password does not belong in a file; set the section's \"password_file\" or the environment",
            );
            return default;
        }
        endpoint
    }

    /// A URL that is called. One that is missing is a problem, and so is a user in it: which part of that is a password cannot be
    /// told. `instead`: how the call proves who makes it.
    pub(super) fn callee(&mut self, key: &'static str, instead: &str) -> Option<Callee> {
        let given = self.table.contains_key(key);
        let url = self.value(
            key,
            None,
            CALLEE_ALLOWED,
            |text| Some(Some(Callee::parse(text)?)),
            |url| url.as_ref().map_or_else(String::new, ToString::to_string),
        );
        match &url {
            Some(url) if url.has_user() => {
                self.reject(key, format!("a user does not belong in it: {instead}; allowed: without"));
            }
            None if !given => {
                self.reject(key, format!("is missing; allowed: {CALLEE_ALLOWED}"));
            }
            Some(_) | None => {}
        }
        url
    }

    /// A list of texts; from the environment, separated by commas.
    pub(super) fn texts(&mut self, key: &'static str, default: &[&str]) -> Vec<String> {
        let path = self.path_of(key);
        let default: Vec<String> = default.iter().map(|t| (*t).to_owned()).collect();
        let Some(value) = self.find(key) else {
            self.note(key, &format!("[{}]", default.join(", ")), "default".into());
            return default;
        };
        let origin = origin(&path, &value);
        let list: Option<Vec<String>> = match &value.kind {
            ValueKind::Array(elements) => elements.iter().map(|e| plain(&e.kind).filter(|t| !t.is_empty())).collect(),
            ValueKind::String(text) => Some(split_list(text).map(str::to_owned).collect()),
            _ => None,
        };
        let Some(list) = list else {
            self.refuse(&path, origin, &shown(&value.kind), "a list of texts");
            return default;
        };
        self.note(key, &format!("[{}]", list.join(", ")), origin);
        list
    }

    /// Notes that `key`, already read, makes no sense together with another.
    /// Notes what is wrong with a key, unless something is already: what follows from that helps nobody.
    pub(super) fn reject(&mut self, key: &str, message: impl Into<String>) {
        let path = self.path_of(key);
        if self.findings.problems.iter().any(|problem| problem.key == path) {
            return;
        }
        let origin = match self.findings.origin_of(&path) {
            default if default == "default" => self.origin.clone().unwrap_or(default),
            known => known,
        };
        self.findings.problems.push(Problem { origin, key: path, message: message.into() });
    }

    /// Whether nobody has set it. Of a key that was read.
    pub(super) fn is_default(&self, key: &str) -> bool {
        self.findings.origin_of(&self.path_of(key)) == "default"
    }

    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
        show: impl Fn(&T) -> String,
    ) -> T {
        let path = self.path_of(key);
        let Some(value) = self.find(key) else {
            self.note(key, &show(&default), "default".into());
            return default;
        };
        let origin = origin(&path, &value);
        let Some(parsed) = plain(&value.kind).and_then(|text| parse(&text)) else {
            self.refuse(&path, origin, &shown(&value.kind), allowed);
            return default;
        };
        self.note(key, &show(&parsed), origin);
        parsed
    }

    /// The value, marking its key as known; `null` in YAML is absence.
    pub(super) fn find(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key.to_owned());
        self.table.remove(key).filter(|value| value.kind != ValueKind::Nil)
    }

    pub(super) fn table_of(&mut self, path: &str, value: Value) -> BTreeMap<String, Value> {
        let origin = origin(path, &value);
        match value.kind {
            ValueKind::Table(table) => table.into_iter().collect(),
            ValueKind::Nil => BTreeMap::new(),
            other => {
                self.refuse(path, origin, &shown(&other), "a mapping of keys to values");
                BTreeMap::new()
            }
        }
    }

    pub(super) fn refuse(&mut self, path: &str, origin: String, value: &str, allowed: &str) {
        let message = format!("{value} is not allowed; allowed: {allowed}");
        self.findings.problems.push(Problem { origin, key: path.to_owned(), message });
    }

    pub(super) fn note(&mut self, key: &str, value: &str, origin: String) {
        let key = self.path_of(key);
        self.findings.entries.push(Entry { key, value: value.to_owned(), origin });
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}
