//! Reads a route's untyped leaves; each error names file, route, key, value and what is allowed.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::RoutesError;
use crate::dispatch::delay;

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) file: &'a str,
    pub(super) route: &'a str,
}

impl At<'_> {
    pub(super) fn refuse(&self, key: &str, value: impl ToString, allowed: impl ToString) -> RoutesError {
        RoutesError::Value {
            file: self.file.to_owned(),
            route: self.route.to_owned(),
            key: key.to_owned(),
            value: value.to_string(),
            allowed: allowed.to_string(),
        }
    }

    pub(super) fn missing(&self, key: &str, allowed: impl ToString) -> RoutesError {
        RoutesError::Missing {
            file: self.file.to_owned(),
            route: self.route.to_owned(),
            key: key.to_owned(),
            allowed: allowed.to_string(),
        }
    }

    pub(super) fn number(
        &self,
        key: &str,
        value: Option<&Value>,
        default: u32,
        allowed: RangeInclusive<u32>,
    ) -> Result<u32, RoutesError> {
        let Some(value) = value else { return Ok(default) };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| allowed.contains(n));
        number.ok_or_else(|| {
            self.refuse(key, value, format!("a whole number from {} to {}", allowed.start(), allowed.end()))
        })
    }

    pub(super) fn duration(
        &self,
        key: &str,
        value: Option<&Value>,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Result<Duration, RoutesError> {
        let Some(value) = value else { return Ok(default) };
        let parsed = value.as_str().ok_or(delay::ALLOWED).and_then(delay::parse);
        let duration = parsed.map_err(|allowed| self.refuse(key, value, allowed))?;
        if allowed.contains(&duration) {
            return Ok(duration);
        }
        let range = format!("{} to {}", delay::format(*allowed.start()), delay::format(*allowed.end()));
        Err(self.refuse(key, value, range))
    }

    pub(super) fn text<'v>(&self, key: &str, value: &'v Value) -> Result<&'v str, RoutesError> {
        value.as_str().filter(|text| !text.trim().is_empty()).ok_or_else(|| self.refuse(key, value, "a text"))
    }

    /// A text, or a list of at least one text.
    pub(super) fn texts(&self, key: &str, value: &Value) -> Result<Vec<String>, RoutesError> {
        match value {
            Value::Array(items) if !items.is_empty() => {
                items.iter().map(|item| self.text(key, item).map(str::to_owned)).collect()
            }
            Value::Array(_) => Err(self.refuse(key, "[]", "a text, or a list of at least one")),
            one => Ok(vec![self.text(key, one)?.to_owned()]),
        }
    }

    pub(super) fn flag(&self, key: &str, value: Option<&Value>, default: bool) -> Result<bool, RoutesError> {
        let Some(value) = value else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.refuse(key, value, "true, false"))
    }

    /// One of the given names.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        value: Option<&Value>,
        default: T,
        choices: &[(&str, T)],
    ) -> Result<T, RoutesError> {
        let Some(value) = value else { return Ok(default) };
        let found = choices.iter().find(|(name, _)| value.as_str() == Some(name));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(key, value, names.join(", "))
        })
    }
}
