//! From a file's text to a checked definition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use serde_saphyr::Spanned;
use sha2::{Digest as _, Sha256};

use self::steps::Steps;
use super::scope::{DATA, EVENT, INPUT, RUN, STEPS};
use super::{Definition, DefinitionError, Template, Trigger, raw};
use crate::expression::Expression;
use crate::schema::Shape;

mod dependencies;
mod steps;

/// Bytes of a file.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Of a name or an id.
const NAME_CHARS_MAX: usize = 100;
const NAME_ALLOWED: &str = "1 to 100 letters, digits, \"_\" and \"-\", a letter first";
const TRIGGERS_MAX: usize = 20;

/// What definitions may refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Declared topics with the types of the events that they take.
    pub topics: BTreeMap<String, BTreeSet<String>>,
    /// Servers that are called by name.
    pub endpoints: BTreeSet<String>,
    /// Where notifications go by name.
    pub channels: BTreeSet<String>,
    /// How grave a notification may be.
    pub severities: BTreeSet<String>,
    /// Registries that handlers keep, which nobody else writes to.
    pub kept: BTreeSet<String>,
}

/// Makes errors of one file.
#[derive(Clone, Copy, Debug)]
struct At<'a> {
    file: &'a str,
    line: u64,
    step: Option<&'a str>,
}

impl At<'_> {
    fn error(&self, message: impl std::fmt::Display) -> DefinitionError {
        let (file, step) = (self.file.to_owned(), self.step.map(str::to_owned));
        DefinitionError { file, line: self.line, step, message: message.to_string() }
    }

    fn refuse(&self, key: &str, value: impl std::fmt::Display, allowed: impl std::fmt::Display) -> DefinitionError {
        self.error(format!("{key}: {value} is not allowed; allowed: {allowed}"))
    }
}

impl Definition {
    /// `file` is for error messages. `known`: topics and types are checked against it; a definition that was checked before is
    /// read again without.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(file: &str, text: &str, known: Option<&Known>) -> Result<Self, DefinitionError> {
        let whole = At { file, line: 1, step: None };
        if text.len() > TEXT_BYTES_MAX {
            return Err(whole.error(format!("the file has {} bytes; allowed: at most {TEXT_BYTES_MAX}", text.len())));
        }
        let raw: raw::File = crate::yaml::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            At { line, ..whole }.error(error.without_snippet())
        })?;
        let at = |line| At { line, ..whole };
        check_name(at(line_of(&raw.name)), "name", &raw.name.value)?;
        if raw.version.value == 0 {
            return Err(at(line_of(&raw.version)).refuse("version", 0, "a whole number from 1"));
        }
        let input = Shape::compile(&raw.input.value)
            .map_err(|message| at(line_of(&raw.input)).error(format!("input: is no JSON Schema: {message}")))?;
        if raw.on.len() > TRIGGERS_MAX {
            return Err(whole.refuse("on", format!("a list of {}", raw.on.len()), format!("at most {TRIGGERS_MAX}")));
        }
        let triggers = raw.on.iter().map(|raw| trigger(at(line_of(raw)), &raw.value)).collect::<Result<_, _>>()?;
        let steps = Steps::new(file, known).outermost(&raw.steps)?;
        let dependencies = dependencies::of(whole, &raw.dependencies, &steps, known)?;
        let output = raw.output.as_ref().map(|raw| {
            let at = at(line_of(raw));
            let output = template(at, "output", &raw.value, &[INPUT, STEPS, RUN])?;
            let outermost: BTreeSet<&str> = steps.steps.iter().map(|step| step.id.as_str()).collect();
            sees(at, "output", output.expressions(), &outermost)?;
            Ok(output)
        });
        Ok(Self {
            name: raw.name.value,
            version: raw.version.value,
            description: raw.description,
            input: Arc::new(input),
            dependencies,
            triggers,
            output: output.transpose()?,
            steps,
            text: text.into(),
            digest: digest(text),
        })
    }
}

fn line_of<T>(spanned: &Spanned<T>) -> u64 {
    spanned.referenced.line()
}

/// First 16 hexadecimal digits of the text's SHA-256.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(8).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

fn check_name(at: At<'_>, key: &str, name: &str) -> Result<(), DefinitionError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if begins && name.len() <= NAME_CHARS_MAX && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(at.refuse(key, format!("{name:?}"), NAME_ALLOWED))
}

fn trigger(at: At<'_>, raw: &raw::Trigger) -> Result<Trigger, DefinitionError> {
    if raw.event_type.trim().is_empty() {
        return Err(at.refuse("on.type", format!("{:?}", raw.event_type), "an event type, such as workflow.completed"));
    }
    let variables = [EVENT, DATA];
    Ok(Trigger {
        event_type: raw.event_type.clone(),
        when: raw.when.as_ref().map(|text| expression(at, "on.when", text, &variables)).transpose()?,
        input: raw.input.as_ref().map(|value| template(at, "on.input", value, &variables)).transpose()?,
    })
}

fn expression(at: At<'_>, key: &str, text: &str, allowed: &[&str]) -> Result<Expression, DefinitionError> {
    Expression::compile(text, allowed).map_err(|error| at.error(format!("{key}: {error}")))
}

fn template(at: At<'_>, key: &str, value: &Value, allowed: &[&str]) -> Result<Template, DefinitionError> {
    Template::parse(value, allowed).map_err(|error| at.error(format!("{key}: {error}")))
}

/// Every output that is read is there by then.
fn sees(at: At<'_>, key: &str, expressions: Vec<&Expression>, visible: &BTreeSet<&str>) -> Result<(), DefinitionError> {
    for expression in expressions {
        let place = format!(" in {:?}", expression.text());
        for id in expression.members_of(STEPS) {
            sees_step(at, key, id, &place, visible)?;
        }
    }
    Ok(())
}

/// `place`: where it is read, as the message has it after the step.
fn sees_step(at: At<'_>, key: &str, id: &str, place: &str, visible: &BTreeSet<&str>) -> Result<(), DefinitionError> {
    if visible.contains(id) {
        return Ok(());
    }
    let all = if visible.is_empty() {
        "none: it comes after no step".to_owned()
    } else {
        visible.iter().copied().collect::<Vec<_>>().join(", ")
    };
    Err(at.refuse(key, format!("steps.{id}{place}"), all))
}
