//! `coafi registry dependants`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{open, publish};
use crate::registry::dependants::{self, Subscription};

/// Who is told when entries change: besides those of the configuration, entries of the registry "subscriptions".
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi registry dependants list parts
  coafi registry dependants add parts team-wings --entries 'wing-*' --channel ops-chat
  coafi registry dependants remove parts team-wings --entries 'wing-*'")]
pub(in crate::cli) enum Dependants {
    List(List),
    Add(Add),
    Remove(Remove),
}

/// List who is told, of one registry or of all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry dependants list
  coafi registry dependants list parts --output json | jq -r '.dependants[].subscriber'

Exit codes: 0 listed, 2 the configuration is wrong, 3 the database does not answer.")]
pub(in crate::cli) struct List {
    /// The registry's name.
    registry: Option<String>,
}

/// Ask for a subscriber to be told of changes; a consumer notes it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry dependants add parts team-wings --entries 'wing-*'
  coafi registry dependants add parts archive

Exit codes: 0 asked for, 2 that is no pattern or no channel, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    subscription: About,
    /// A channel of the configuration that is told besides.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
}

/// Ask for a subscriber not to be told any more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry dependants remove parts team-wings --entries 'wing-*'

Exit codes: 0 asked for, 1 there is no such subscription, 3 the database, Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    subscription: About,
}

#[derive(Debug, Args)]
struct About {
    /// The registry's name.
    registry: String,
    /// Who is told.
    subscriber: String,
    /// The entries whose changes are told: a glob over their names.
    #[arg(long, value_name = "GLOB", default_value = "*")]
    entries: String,
}

impl Dependants {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Add(Add { subscription, channel }) => add(context, subscription.with(channel)).await,
            Self::Remove(Remove { subscription }) => remove(context, &subscription.with(None)).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let listed = dependants::listed(&*store, self.registry.as_deref()).await.map_err(anyhow::Error::new)?;
        let mut found: Vec<(Subscription, &str)> = listed.into_iter().map(|theirs| (theirs, "subscriptions")).collect();
        for registry in &context.settings().registries {
            if self.registry.as_ref().is_none_or(|wanted| *wanted == registry.name) {
                let configured = registry.dependants.iter().map(|dependant| Subscription {
                    registry: registry.name.clone(),
                    entries: dependant.entries.clone(),
                    subscriber: dependant.subscriber.clone(),
                    channel: dependant.channel.clone(),
                });
                found.extend(configured.map(|theirs| (theirs, "configuration")));
            }
        }
        let row = |(theirs, from): &(Subscription, &str)| {
            let Subscription { registry, entries, subscriber, channel } = theirs.clone();
            [registry, entries, subscriber, channel.unwrap_or_default(), (*from).to_owned()]
        };
        let as_json = |(theirs, from): &(Subscription, &str)| {
            json!({
                "registry": theirs.registry, "entries": theirs.entries, "subscriber": theirs.subscriber, "channel": theirs.channel,
                "from": from,
            })
        };
        let last = match found.len() {
            0 => "nobody is told".to_owned(),
            count => format!("{count} listed"),
        };
        let text =
            table(["registry", "entries", "subscriber", "channel", "from"], found.iter().map(row).collect(), &last);
        let json = json!({"dependants": found.iter().map(as_json).collect::<Vec<_>>()});
        context.output().answer(&Answer { json, text, yes: true })
    }
}

impl About {
    fn with(self, channel: Option<String>) -> Subscription {
        let Self { registry, subscriber, entries } = self;
        Subscription { registry, entries, subscriber, channel }
    }
}

async fn add(context: &Context, subscription: Subscription) -> Result<Exit, Failure> {
    subscription.check().map_err(|why| {
        Failure::usage(format!("{:?} is no pattern: {why}", subscription.entries)).next("give a glob, such as 'wing-*'")
    })?;
    let channels = &context.settings().notifications.channels;
    if let Some(unknown) =
        subscription.channel.as_ref().filter(|name| channels.iter().all(|known| known.name != **name))
    {
        return Err(Failure::usage(format!("there is no channel {unknown:?}"))
            .next("`coafi notify channels` shows which there are"));
    }
    let data = serde_json::to_value(&subscription)
        .map_err(|error| Failure::failed("the subscription is no JSON").because(error))?;
    ask(context, &subscription, &data, "is to be told of").await
}

async fn remove(context: &Context, subscription: &Subscription) -> Result<Exit, Failure> {
    let store = open(context).await?;
    let found = store.entry(dependants::REGISTRY, &subscription.name()).await.map_err(anyhow::Error::new)?;
    if found.is_none() {
        let Subscription { registry, entries, subscriber, .. } = subscription;
        return Err(Failure::failed(format!("{subscriber} is not subscribed to {entries} of {registry}"))
            .next("`coafi registry dependants list` shows who is"));
    }
    ask(context, subscription, &Value::Null, "is to be told no more of").await
}

async fn ask(context: &Context, subscription: &Subscription, data: &Value, what: &str) -> Result<Exit, Failure> {
    let sent = publish(context, dependants::REGISTRY, &subscription.name(), data, None).await?;
    let Subscription { registry, entries, subscriber, .. } = subscription;
    let text =
        format!("{subscriber} {what} {registry}/{entries}; `coafi event show {}` says what became of it", sent.id);
    let json = json!({"registry": registry, "entries": entries, "subscriber": subscriber, "eventId": sent.id});
    context.output().answer(&Answer { json, text, yes: true })
}
