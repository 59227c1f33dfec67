//! `coafi dlq purge`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::super::{Answer, Bar, Context, Exit, Failure};
use super::acting::{Acting, actor, duration, remark};
use super::counted::Counted;
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
  coafi dlq purge --topic coafi.git --class poison --to 7d --dry-run
  coafi dlq purge --topic coafi.git --class poison --to 7d --reason 'broken producer, replaced' --yes
  coafi dlq purge --lost 7d --reason 'handled by hand'
  coafi dlq purge --all --reason 'test data' --yes

Exit codes: 0 purged, 1 one was left alone, or it was not confirmed or interrupted, 2 the command line is wrong, 3 Kafka or
the schema registry does not answer.")]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    which: Which,
    /// Every dead letter of every topic; needed where nothing says which.
    #[arg(long)]
    all: bool,
    /// Those, and no others, that were sent again longer ago than this and whose outcome has not come.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    lost: Option<Duration>,
    #[command(flatten)]
    purging: Purging,
    #[command(flatten)]
    counted: Counted,
    #[command(flatten)]
    acting: Acting,
}

impl Purge {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let actor = actor(&self.acting);
        self.purging.check(&actor)?;
        if self.lost.is_none() && !self.purging.dry_run {
            self.which.is_said(self.all)?;
        }
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        shutdown.watch(self.purge(context, &actor, stop)).await
    }

    async fn purge(&self, context: &Context, actor: &dlq::Actor, stop: CancellationToken) -> Result<Exit, Failure> {
        let cluster = app::letters_cluster(&context.places(), context.codec()?).await?;
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let selection = self.which.selection()?;
        let found = self.which.found(context, &cluster.reader, &declarations).await?;
        let found: Vec<_> = found.into_iter().filter(|found| !found.is_empty()).collect();
        let decides = self.lost.is_some() && !found.is_empty();
        let group = self.counted.standing(context, &cluster.reader, &declarations, decides).await?;
        let purges = found.iter().map(|Found { topic, stretches }| {
            let meant = Meant { topic, stretches, selection: &selection, is_named: self.which.is_named() };
            dlq::Purge { cluster: &cluster, actor, meant, group: &group, lost: self.lost }
        });
        self.purging.run(context, &purges.collect::<Vec<_>>(), ("dead letter", "dead letters"), &stop).await
    }
}

/// How records are given up.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Purging {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Say how many would be given up, and do nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

impl Purging {
    /// # Errors
    /// Nobody says why.
    pub(in crate::cli) fn check(self, actor: &dlq::Actor) -> Result<(), Failure> {
        if !self.dry_run && actor.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
            return Err(Failure::usage("a purge needs a reason").next("give one with --reason"));
        }
        Ok(())
    }

    /// `noun`: what they are, one of them and many.
    pub(in crate::cli) async fn run(
        self,
        context: &Context,
        purges: &[dlq::Purge<'_>],
        noun: (&str, &str),
        stop: &CancellationToken,
    ) -> Result<Exit, Failure> {
        let (one, many) = noun;
        let counted = |count: u64| if count == 1 { format!("1 {one}") } else { format!("{count} {many}") };
        if self.dry_run || !self.yes {
            let (count, all_good) = rehearse(context, purges, self.dry_run).await?;
            if self.dry_run {
                let text = format!("{} would be purged", counted(count));
                return context.output().answer(&Answer { json: json!({"wouldBePurged": count}), text, yes: all_good });
            }
            // Without a terminal there is nobody to confirm it.
            if count > 0 && (!std::io::stdin().is_terminal() || !confirmed(&counted(count), many)?) {
                return Err(unconfirmed());
            }
        }
        let mut ears = Ears::new(context, "purging", true);
        let mut purged = 0;
        for purge in purges {
            purged += purge.run(stop, |heard| ears.hear(heard)).await?;
        }
        let yes = ears.left_alone == 0 && !stop.is_cancelled();
        drop(ears);
        let text = format!("purged: {}", counted(purged));
        context.output().answer(&Answer { json: json!({"purged": purged}), text, yes })
    }
}

/// How many would be given up, and whether none is left alone.
async fn rehearse(
    context: &Context,
    purges: &[dlq::Purge<'_>],
    says_what_is_left: bool,
) -> Result<(u64, bool), Failure> {
    let mut ears = Ears::new(context, "counting", says_what_is_left);
    let mut count = 0;
    for purge in purges {
        count += purge.rehearse(|heard| ears.hear(heard)).await?;
    }
    Ok((count, ears.left_alone == 0))
}

/// Hears what a purge says.
struct Ears<'a> {
    context: &'a Context,
    bar: Bar,
    says_what_is_left: bool,
    left_alone: u64,
}

impl<'a> Ears<'a> {
    fn new(context: &'a Context, label: &str, says_what_is_left: bool) -> Self {
        Self { context, bar: context.output().bar(label, None), says_what_is_left, left_alone: 0 }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Progress { read, sent, .. } => self.bar.set(read.done, Some(read.total), format!("{sent} found")),
            Heard::Ended(left) => {
                self.left_alone += 1;
                if self.says_what_is_left {
                    let text = format!("{} is left alone: {}", left.letter, left.fate.detail());
                    self.context.output().remark(&text);
                }
            }
            remarkable if self.says_what_is_left => remark(self.context, &remarkable),
            _ => {}
        }
    }
}

fn unconfirmed() -> Failure {
    Failure::failed("nothing is purged: it was not confirmed").next("answer yes, or give --yes")
}

/// Asks on the terminal.
fn confirmed(counted: &str, many: &str) -> std::io::Result<bool> {
    write!(std::io::stderr(), "Purged {many} are never sent again. Purge {counted}? [yes/no] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
