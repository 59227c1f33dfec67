//! `coafi dlq redrive`.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::super::{Context, Exit, Failure};
use super::acting::{Acting, Journal, Sending, actor};
use super::which::{Found, Which};
use crate::app;
use crate::dlq::{self, Meant, Order, Sends};
use crate::kafka::topics::Declaration;
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
  coafi dlq redrive --lost 1d --reason 'the topic was made anew before they were handled'
  coafi dlq redrive --topic other.dlq --into coafi.git

Exit codes: 0 every record was processed, 1 one was not or has no outcome yet, 2 the command line is wrong, 3 Kafka or the
schema registry does not answer.")]
pub(in crate::cli) struct Redrive {
    #[command(flatten)]
    which: Which,
    /// Every dead letter of every topic; needed where nothing says which, but for --resume, --lost and --dry-run.
    #[arg(long)]
    all: bool,
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
        if self.sending.sends() == Sends::Waiting && !self.sending.dry_run {
            self.which.is_said(self.all)?;
        }
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        shutdown.watch(self.redrive(context, stop)).await
    }

    async fn redrive(self, context: &Context, stop: CancellationToken) -> Result<Exit, Failure> {
        let cluster = app::letters_cluster(&context.places(), context.codec()?).await?;
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let selection = self.which.selection()?;
        if let Some(into) = &self.into {
            is_source(&declarations, into)?;
        }
        let found = self.which.found(context, &cluster.reader, &declarations).await?;
        let found: Vec<_> = found.into_iter().filter(|found| !found.is_empty()).collect();
        let sources = |topic| app::source_of(&declarations, topic).into_iter().chain(self.into.as_deref());
        // Which of the two a letter goes to it says itself; what goes into the other is to be handled whatever that is.
        let all = found.iter().map(|found| sources(&found.topic).collect());
        let all: Vec<_> = all.chain(self.into.as_deref().map(|into| [into].into())).collect();
        let group = self.sending.group(context, &all, (&cluster.reader, &declarations)).await?;
        let mut journal = Journal::new(context, "redriving");
        for Found { topic, stretches } in &found {
            if stop.is_cancelled() {
                break;
            }
            let order = Order {
                actor: actor(&self.acting),
                action: InterventionKind::EventRedriven,
                group: group.clone(),
                rate: self.sending.rate,
                awaited_max: self.sending.max_awaited.get() as usize,
                patience: self.sending.patience(),
                sends: self.sending.sends(),
                into: self.into.clone(),
                sources: app::sources(&cluster.reader, sources(topic)).await.map_err(anyhow::Error::new)?,
                routes: None,
            };
            let meant = Meant { topic, stretches, selection: &selection, is_named: self.which.is_named() };
            let redrive = dlq::Redrive::new(&cluster, &order, meant, |heard| journal.hear(heard));
            let done = if self.sending.dry_run { redrive.rehearse().await } else { redrive.run(&stop).await };
            if let Err(error) = done {
                return Err(journal.close_with(error));
            }
        }
        journal.close()
    }
}

/// Letters go where events are handled, never into a topic of what the system says of itself.
fn is_source(declarations: &[Declaration], into: &str) -> Result<(), Failure> {
    let sources = app::known_topics(declarations);
    if sources.contains_key(into) {
        return Ok(());
    }
    let allowed = sources.into_keys().collect::<Vec<_>>().join(", ");
    Err(Failure::usage(format!("--into {into} is no source topic; allowed: {allowed}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::topics;

    #[test]
    fn letters_go_into_source_topics_only() {
        let declarations = topics::embedded().unwrap();
        assert!(is_source(&declarations, "coafi.git").is_ok());
        for other in ["coafi.bitt.records", "coafi.dlq.state", "coafi.status", "coafi.git.dlq", "unknown"] {
            let refused = is_source(&declarations, other).unwrap_err();
            assert_eq!(refused.exit(), Exit::Usage);
            assert!(refused.to_string().contains("allowed: coafi.ai, "), "{refused}");
        }
    }
}
