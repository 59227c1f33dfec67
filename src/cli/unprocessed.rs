//! `coafi unprocessed`: events that no route took.

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::dlq::{Acting, Columns, Extent, Found, Journal, Listing, Purging, Sending, Within, actor, is_said};
use super::{Context, Exit, Failure};
use crate::app;
use crate::dlq::{self, Meant, Order, Redrive, Standing};
use crate::runtime::Shutdown;
use crate::schema::payloads::InterventionKind;

/// Events that no route took.
///
/// They lie in coafi.unprocessed. Once a route takes their type, `reroute` brings them back; `purge` gives up what none will.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi unprocessed list --type 'git.*'
  coafi routes lint && coafi unprocessed reroute --type git.release --dry-run
  coafi unprocessed reroute --type git.release --reason 'route added'")]
pub(super) enum Unprocessed {
    List(List),
    Reroute(Reroute),
    Purge(Purge),
}

/// List events that no route took and nobody has sent again, with the reason and their age.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi unprocessed list
  coafi unprocessed list --type 'git.*' --from 24h --output json | jq -r '.letters[].eventType' | sort | uniq -c

Exit codes: 0 listed, 2 the command line is wrong, 3 Kafka or the schema registry does not answer.")]
pub(super) struct List {
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    listing: Listing,
}

/// Send events that a route takes now to their source topics again, and wait for what becomes of each.
///
/// Those that still have no route stay where they are, and are reported. The routes are those of the configuration here; give
/// them to the replicas first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi unprocessed reroute --dry-run
  coafi unprocessed reroute --type git.release --reason 'route added'

Exit codes: 0 every record was processed, 1 one was not, has no route or has no outcome yet, 2 the command line is wrong,
3 Kafka or the schema registry does not answer.")]
pub(super) struct Reroute {
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    acting: Acting,
}

/// Give events up that no route will ever take: they are hidden from then on, and never sent again.
///
/// The records themselves stay in their topic for as long as its retention says. Who purged them, when and why is audited.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi unprocessed purge coafi.unprocessed/0/42 --reason 'no event of ours'
  coafi unprocessed purge --type 'test.*' --dry-run
  coafi unprocessed purge --type 'test.*' --reason 'a producer was tried out' --yes

Exit codes: 0 purged, 1 one was left alone, or it was not confirmed or interrupted, 2 the command line is wrong, 3 Kafka or
the schema registry does not answer.")]
pub(super) struct Purge {
    #[command(flatten)]
    within: Within,
    /// Every one of them; needed where nothing says which.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    purging: Purging,
    #[command(flatten)]
    acting: Acting,
}

impl Unprocessed {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Reroute(command) => {
                let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
                let stop = shutdown.token();
                shutdown.watch(command.run(context, stop)).await
            }
            Self::Purge(command) => {
                let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
                let stop = shutdown.token();
                shutdown.watch(command.run(context, stop)).await
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let found = self.within.found(&context.places().reader(), &app::unprocessed_topic()).await?;
        let extent = if self.within.is_everything() { Extent::Everything } else { Extent::Part };
        self.listing.show(context, &found, (&self.within.selection()?, extent), Columns::Reasons).await
    }
}

impl Purge {
    async fn run(self, context: &Context, stop: CancellationToken) -> Result<Exit, Failure> {
        let actor = actor(&self.acting);
        self.purging.check(&actor)?;
        if !self.purging.dry_run {
            is_said(self.within.is_everything(), self.all)?;
        }
        let cluster = app::letters_cluster(&context.places(), context.codec()?).await?;
        let selection = self.within.selection()?;
        let found = self.within.found(&cluster.reader, &app::unprocessed_topic()).await?;
        // Of no matter: none is asked for that is lost.
        let group = Standing::default();
        let purges = found.iter().map(|Found { topic, stretches }| {
            let meant = Meant { topic, stretches, selection: &selection, is_named: self.within.is_named() };
            dlq::Purge { cluster: &cluster, actor: &actor, meant, group: &group, lost: None }
        });
        self.purging.run(context, &purges.collect::<Vec<_>>(), ("record", "records"), &stop).await
    }
}

impl Reroute {
    async fn run(self, context: &Context, stop: CancellationToken) -> Result<Exit, Failure> {
        let cluster = app::letters_cluster(&context.places(), context.codec()?).await?;
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let routes = app::routes(context.settings(), &declarations)?;
        let selection = self.within.selection()?;
        let known = app::known_topics(&declarations);
        let sources = known.keys().map(String::as_str);
        let sources = app::sources(&cluster.reader, sources).await.map_err(anyhow::Error::new)?;
        let handled = [known.keys().map(String::as_str).collect()];
        let group = self.sending.group(context, &handled, (&cluster.reader, &declarations)).await?;
        let order = Order {
            actor: actor(&self.acting),
            action: InterventionKind::EventRerouted,
            group,
            rate: self.sending.rate,
            awaited_max: self.sending.max_awaited.get() as usize,
            patience: self.sending.patience(),
            sends: self.sending.sends(),
            into: None,
            sources,
            routes: Some(routes),
        };
        let mut journal = Journal::new(context, "rerouting");
        for found in &self.within.found(&cluster.reader, &app::unprocessed_topic()).await? {
            let is_named = self.within.is_named();
            let meant = Meant { topic: &found.topic, stretches: &found.stretches, selection: &selection, is_named };
            let redrive = Redrive::new(&cluster, &order, meant, |heard| journal.hear(heard));
            let done = if self.sending.dry_run { redrive.rehearse().await } else { redrive.run(&stop).await };
            if let Err(error) = done {
                return Err(journal.close_with(error));
            }
        }
        journal.close()
    }
}
