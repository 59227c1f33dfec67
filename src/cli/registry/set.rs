//! `coafi registry set`.

use clap::Args;
use serde_json::{Value, json};

use super::super::send::read_json;
use super::super::{Answer, Context, Exit, Failure};
use super::publish;
use crate::app;
use crate::registry::KEPT_BY_HANDLERS;

/// Ask for an entry to be written, or deleted; a consumer does so.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry set parts wing-7 '{\"status\": \"approved\"}'
  coafi registry set parts wing-7 @wing-7.json --expected-version 3
  coafi registry set parts wing-7 --delete

`coafi event show ID` says what became of it.

Exit codes: 0 asked for, 2 the registry does not take this, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Set {
    /// The registry's name.
    registry: String,
    /// The entry's name.
    entry: String,
    /// Its new data as a JSON object: @FILE, @- for standard input, or the text itself.
    #[arg(value_name = "@FILE|@-|JSON", required_unless_present = "delete", conflicts_with = "delete")]
    data: Option<String>,
    /// Delete it instead; its history stays.
    #[arg(long)]
    delete: bool,
    /// Only if it is at this version then; 0: only if it does not exist.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    expected_version: Option<i64>,
}

impl Set {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let data = match &self.data {
            Some(argument) => read_json("DATA", argument)?,
            None => Value::Null,
        };
        self.check(context, &data)?;
        let condition = self.expected_version.map(|version| ("expectedVersion", version.into()));
        let sent = publish(context, &self.registry, &self.entry, &data, condition).await?;
        let text = format!("asked for; `coafi event show {}` says what became of it", sent.id);
        let json = json!({"registry": self.registry, "entry": self.entry, "eventId": sent.id});
        context.output().answer(&Answer { json, text, yes: true })
    }

    /// What the consumer would refuse by its configuration, which should be this one.
    fn check(&self, context: &Context, data: &Value) -> Result<(), Failure> {
        let registry = &self.registry;
        if !matches!(data, Value::Object(_) | Value::Null) || (data.is_null() && !self.delete) {
            return Err(Failure::usage("the data is no JSON object").next("give an object, or --delete"));
        }
        if KEPT_BY_HANDLERS.contains(&registry.as_str()) {
            return Err(Failure::usage(format!(
                "registry {registry:?} is kept by a handler, which alone writes to it"
            )));
        }
        let rules = app::registry_rules(context.settings())?;
        if rules.requires_match(registry) && self.expected_version.is_none() {
            return Err(Failure::usage(format!("registry {registry:?} wants to be told which version is changed"))
                .next("give --expected-version, as `coafi registry show` says it"));
        }
        let errors = rules.errors(registry, data);
        if !errors.is_empty() {
            let message = format!("the data does not fit the schema of registry {registry:?}: {}", errors.join("; "));
            return Err(Failure::usage(message));
        }
        Ok(())
    }
}
