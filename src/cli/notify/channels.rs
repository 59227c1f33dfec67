//! `coafi notify channels`.

use clap::Args;
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use crate::app;
use crate::notify::{Channel, Severity};

/// List the configured channels, and how bad something is of which a rule tells them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi notify channels
  coafi notify channels --output json | jq -r '.channels[] | select(.direct) | .name'

Exit codes: 0 listed, 2 the configuration or a template is wrong.")]
pub(in crate::cli) struct Channels {}

impl Channels {
    #[expect(clippy::unused_self, reason = "as every command")]
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let notifier = app::notifier(context.settings())
            .map_err(|error| Failure::usage("channels cannot be used").because(error))?;
        let told_from = |channel: &Channel| {
            let rules = context.settings().notifications.rules.iter();
            rules.filter(|rule| rule.channels.contains(&channel.name)).map(|rule| rule.severity).min()
        };
        let channels: Vec<(&Channel, Option<Severity>)> =
            notifier.channels().map(|channel| (channel, told_from(channel))).collect();
        let rows = channels.iter().map(|(channel, from)| {
            let direct = if channel.direct { "yes" } else { "no" };
            let from = from.map_or("no rule", Severity::name);
            [channel.name.clone(), channel.kind_name().into(), channel.target(), from.into(), direct.into()]
        });
        let last = match channels.len() {
            0 => "no channel is configured; see docs/notifications.md".to_owned(),
            count => format!("{count} listed"),
        };
        let text = table(["channel", "kind", "target", "told from", "direct"], rows.collect(), &last);
        let json = json!({"channels": channels.iter().map(as_json).collect::<Vec<_>>()});
        context.output().answer(&Answer { json, text, yes: true })
    }
}

fn as_json((channel, from): &(&Channel, Option<Severity>)) -> Value {
    json!({
        "name": channel.name,
        "kind": channel.kind_name(),
        "target": channel.target(),
        "toldFrom": from.map(Severity::name),
        "direct": channel.direct,
    })
}
