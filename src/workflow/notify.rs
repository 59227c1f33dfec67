//! A step that tells people something. Its output is `{id}`, of the event that asks for it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Fault, Template};
use crate::expression::Expression;

/// Members of a notification, by their names in its event.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify(Vec<(&'static str, Template)>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    title: Value,
    text: Option<Value>,
    template: Option<Value>,
    data: Option<Value>,
    severity: Option<Value>,
    dedup_key: Option<Value>,
    group_key: Option<Value>,
    channels: Option<Value>,
    resolved: Option<Value>,
    url: Option<Value>,
}

impl Notify {
    /// Where its events go.
    pub(super) const TOPIC: &'static str = "coafi.notifications";

    /// `fill` reads one value of the step, under the key that messages name.
    ///
    /// # Errors
    /// As `fill`.
    pub(super) fn parse<E>(raw: &Raw, fill: &impl Fn(&str, &Value) -> Result<Template, E>) -> Result<Self, E> {
        let members = [
            ("title", "notify.title", Some(&raw.title)),
            ("text", "notify.text", raw.text.as_ref()),
            ("template", "notify.template", raw.template.as_ref()),
            ("data", "notify.data", raw.data.as_ref()),
            ("severity", "notify.severity", raw.severity.as_ref()),
            ("dedupKey", "notify.dedup_key", raw.dedup_key.as_ref()),
            ("groupKey", "notify.group_key", raw.group_key.as_ref()),
            ("channels", "notify.channels", raw.channels.as_ref()),
            ("resolved", "notify.resolved", raw.resolved.as_ref()),
            ("url", "notify.url", raw.url.as_ref()),
        ];
        let given = members.into_iter().filter_map(|(name, key, value)| Some((name, fill(key, value?))));
        given.map(|(name, template)| Ok((name, template?))).collect::<Result<_, _>>().map(Self)
    }

    /// # Errors
    /// As `fill`.
    pub(super) fn fill(&self, fill: &impl Fn(&Template) -> Result<Value, Fault>) -> Result<Value, Fault> {
        let mut members = Map::new();
        for (name, template) in &self.0 {
            let value = fill(template)?;
            // The event has it as text.
            let value = if *name == "data" { value.to_string().into() } else { value };
            members.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(members))
    }

    /// The one that it names in the file; an expression's is known when the step runs.
    pub(super) fn severity(&self) -> Option<&str> {
        self.0.iter().find_map(|(name, template)| match template {
            Template::Literal(Value::String(severity)) if *name == "severity" => Some(severity.as_str()),
            _ => None,
        })
    }

    /// Those that it names in the file; an expression's are known when the step runs.
    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(|(name, _)| *name == "channels").flat_map(|(_, template)| match template {
            Template::List(items) => items.as_slice(),
            _ => &[],
        });
        named.filter_map(|item| match item {
            Template::Literal(Value::String(channel)) => Some(channel.as_str()),
            _ => None,
        })
    }

    pub(super) fn expressions(&self) -> Vec<&Expression> {
        self.0.iter().flat_map(|(_, template)| template.expressions()).collect()
    }
}
