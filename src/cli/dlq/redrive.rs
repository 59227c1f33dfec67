//! `coafi dlq redrive`.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::super::{Context, Exit, Failure};
use super::acting::{Acting, Journal, Sending, actor};
use super::which::{Found, Which};
use crate::app;
use crate::dlq::{self, Meant, Order};
use crate::runtime::Shutdown;
use crate::schema::payloads::InterventionKind;

/// Send dead letters to their source topics again, and wait for what becomes of each.
///
/// The record goes as it came, under a redrive number of its own, and its attempts begin anew. It is reported by its outcome
/// record, whatever retries that takes; that it was sent is no success. A command that was interrupted is simply run again:
/// each letter is sent once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi dlq redrive --topic coafi.git --class permanent --reason 'fixed in 1.4.2' --dry-run
  coafi dlq redrive --topic coafi.git --class permanent --reason 'fixed in 1.4.2'
  coafi dlq redrive coafi.git.dlq/3/42 coafi.git.dlq/3/43
  coafi dlq redrive --topic coafi.git --from 2h --rate 10 --output json | jq 'select(.outcome != \"processed\")'
  coafi dlq redrive --resume
  coafi dlq redrive --topic other.dlq --into coafi.git

Exit codes: 0 every record was processed, 1 one was not or has no outcome yet, 2 the command line is wrong, 3 Kafka or the
schema registry does not answer.")]
pub(in crate::cli) struct Redrive {
    #[command(flatten)]
    which: Which,
    /// Where letters go that do not say where they came from: those that another program wrote.
    #[arg(long, value_name = "TOPIC")]
    into: Option<String>,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    acting: Acting,
}

impl Redrive {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        shutdown.watch(self.redrive(context, stop)).await
    }

    async fn redrive(self, context: &Context, stop: CancellationToken) -> Result<Exit, Failure> {
        let cluster = app::letters_cluster(&context.places(), context.codec()?).await?;
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let selection = self.which.selection()?;
        let mut journal = Journal::new(context, "redriving");
        for Found { topic, stretches } in &self.which.found(context, &cluster.reader, &declarations).await? {
            if stop.is_cancelled() {
                break;
            }
            if stretches.iter().all(crate::kafka::scan::Stretch::is_empty) {
                continue;
            }
            let sources = app::source_of(&declarations, topic).into_iter().chain(self.into.as_deref());
            let order = Order {
                actor: actor(&self.acting),
                action: InterventionKind::EventRedriven,
                group: self.sending.group.clone().unwrap_or_else(|| context.settings().kafka.group_id.clone()),
                rate: self.sending.rate,
                awaited_max: self.sending.max_awaited.get() as usize,
                patience: self.sending.patience(),
                resume_only: self.sending.resume,
                into: self.into.clone(),
                sources: app::sources(&cluster.reader, sources).await.map_err(anyhow::Error::new)?,
                routes: None,
            };
            let meant = Meant { topic, stretches, selection: &selection };
            let redrive = dlq::Redrive::new(&cluster, &order, meant, |heard| journal.hear(heard));
            let done = if self.sending.dry_run { redrive.rehearse().await } else { redrive.run(&stop).await };
            if let Err(error) = done {
                // What became of those before it is said too.
                journal.close()?;
                return Err(error.into());
            }
        }
        journal.close()
    }
}
