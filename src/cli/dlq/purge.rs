//! `coafi dlq purge`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::{Answer, Context, Exit, Failure};
use super::acting::{Acting, actor, duration};
use super::which::{Found, Which};
use crate::app;
use crate::dlq::{self, Heard, Meant};
use crate::runtime::Shutdown;

/// Give dead letters up: they are hidden from then on, and never redriven.
///
/// The records themselves stay in their topic for as long as its retention says. Who purged them, when and why is audited.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi dlq purge coafi.git.dlq/3/42 --reason 'sent by mistake'
  coafi dlq purge --topic coafi.git --class poison --to 7d --reason 'broken producer, replaced' --yes
  coafi dlq purge --lost 7d --reason 'handled by hand'
  coafi dlq purge --all --reason 'test data' --yes

Exit codes: 0 purged, 1 not confirmed or interrupted, 2 the command line is wrong, 3 Kafka or the schema registry does not
answer.")]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    which: Which,
    /// Every dead letter of every topic; needed where nothing says which.
    #[arg(long)]
    all: bool,
    /// Those, and no others, that were sent again longer ago than this and whose outcome has not come.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lost: Option<Duration>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    acting: Acting,
}

impl Purge {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let actor = actor(&self.acting);
        if actor.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
            return Err(Failure::usage("a purge needs a reason").next("give one with --reason"));
        }
        if self.lost.is_none() {
            self.which.is_said(self.all)?;
        }
        if !self.yes && !confirmed()? {
            return Err(Failure::failed("nothing is purged: it was not confirmed").next("answer yes, or give --yes"));
        }
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        shutdown.watch(self.purge(context, &actor, stop)).await
    }

    async fn purge(&self, context: &Context, actor: &dlq::Actor, stop: CancellationToken) -> Result<Exit, Failure> {
        let cluster = app::letters_cluster(&context.places(), context.codec()?).await?;
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let selection = self.which.selection()?;
        let bar = context.output().bar("purging", None);
        let (mut purged, mut left_alone) = (0, 0_u64);
        for found in &self.which.found(context, &cluster.reader, &declarations).await? {
            if found.is_empty() {
                continue;
            }
            let Found { topic, stretches } = found;
            let meant = Meant { topic, stretches, selection: &selection };
            let hear = |heard| match heard {
                Heard::Progress { read, sent, .. } => bar.set(read.done, Some(read.total), format!("{sent} purged")),
                Heard::Undecided { count, first } => {
                    let text = format!("left alone: the filter cannot be asked about {count} records, e.g.: {first}");
                    context.output().remark(&text);
                }
                Heard::Ended(left) => {
                    left_alone += 1;
                    context.output().remark(&format!("{} is left alone: {}", left.letter, left.fate.detail()));
                }
            };
            purged += dlq::Purge { cluster: &cluster, actor, meant, lost: self.lost }.run(&stop, hear).await?;
        }
        drop(bar);
        let text = format!("{purged} dead letters are purged");
        context.output().answer(&Answer {
            json: json!({"purged": purged}),
            text,
            yes: left_alone == 0 && !stop.is_cancelled(),
        })
    }
}

/// Asks on the terminal; without one the answer is no.
fn confirmed() -> std::io::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    write!(std::io::stderr(), "Purged dead letters are never redriven. Purge them? [yes/no] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
