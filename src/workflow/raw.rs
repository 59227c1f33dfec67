//! The shape of a definition's file. Values are untyped here where a wrong one is to be reported with its step and key.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: Spanned<String>,
    pub(super) version: Spanned<u32>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) input: Spanned<Value>,
    #[serde(default)]
    pub(super) dependencies: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) on: Vec<Spanned<Trigger>>,
    pub(super) steps: Vec<Spanned<Step>>,
    pub(super) output: Option<Spanned<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trigger {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) when: Option<String>,
    pub(super) input: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) after: Option<Vec<String>>,
    #[serde(default)]
    pub(super) retry: Retry,
    pub(super) timeout: Option<String>,
    pub(super) compensate: Option<Compensate>,
    // What it does: one of these.
    pub(super) transform: Option<Value>,
    pub(super) validate: Option<Validate>,
    pub(super) emit: Option<Emit>,
    pub(super) registry_update: Option<RegistryUpdate>,
    pub(super) registry_read: Option<RegistryRead>,
    pub(super) http: Option<Http>,
    pub(super) notify: Option<super::notify::Raw>,
    pub(super) generate: Option<Generate>,
    pub(super) wait: Option<String>,
    pub(super) wait_for: Option<WaitFor>,
    pub(super) call: Option<Call>,
    pub(super) approval: Option<Approval>,
    pub(super) switch: Option<Switch>,
    pub(super) parallel: Option<Vec<Spanned<Self>>>,
    pub(super) for_each: Option<ForEach>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compensate {
    #[serde(default)]
    pub(super) retry: Retry,
    pub(super) timeout: Option<String>,
    pub(super) emit: Option<Emit>,
    pub(super) registry_update: Option<RegistryUpdate>,
    pub(super) http: Option<Http>,
    pub(super) notify: Option<super::notify::Raw>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    pub(super) attempts: Option<u32>,
    #[serde(default)]
    pub(super) backoff: Backoff,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backoff {
    pub(super) initial: Option<String>,
    pub(super) cap: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Validate {
    #[serde(deserialize_with = "present")]
    pub(super) value: Value,
    #[serde(deserialize_with = "present")]
    pub(super) schema: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Emit {
    pub(super) topic: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) subject: Option<Value>,
    pub(super) key: Option<Value>,
    #[serde(deserialize_with = "present")]
    pub(super) data: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryUpdate {
    #[serde(deserialize_with = "present")]
    pub(super) registry: Value,
    #[serde(deserialize_with = "present")]
    pub(super) entry: Value,
    #[serde(deserialize_with = "present")]
    pub(super) data: Value,
    pub(super) expected_version: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryRead {
    #[serde(deserialize_with = "present")]
    pub(super) registry: Value,
    #[serde(deserialize_with = "present")]
    pub(super) entry: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) endpoint: String,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
    #[serde(deserialize_with = "present")]
    pub(super) data: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generate {
    #[serde(deserialize_with = "present")]
    pub(super) name: Value,
    pub(super) format: super::Format,
    pub(super) template: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitFor {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) correlate: String,
    #[serde(deserialize_with = "present")]
    pub(super) equals: Value,
    pub(super) within: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) workflow: String,
    #[serde(deserialize_with = "present")]
    pub(super) input: Value,
    pub(super) within: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    #[serde(deserialize_with = "present")]
    pub(super) message: Value,
    pub(super) within: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    pub(super) cases: Vec<Case>,
    pub(super) otherwise: Option<Vec<Spanned<Step>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) when: String,
    pub(super) steps: Vec<Spanned<Step>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForEach {
    pub(super) items: String,
    pub(super) max: Option<usize>,
    pub(super) steps: Vec<Spanned<Step>>,
}

/// Serde takes a missing `Value` for null, which as an entry's data would delete it.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Value::deserialize(deserializer)
}
