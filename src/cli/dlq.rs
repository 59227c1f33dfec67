//! `coafi dlq`: dead letters.

mod acting;
mod counted;
mod list;
mod purge;
mod redrive;
mod show;
mod which;

use clap::Subcommand;

use super::{Context, Exit, Failure};
pub(super) use acting::{Acting, Journal, Sending, actor};
pub(super) use list::{Columns, Extent, Listing};
pub(super) use purge::Purging;
pub(super) use which::{Found, Within, is_said};

/// Dead letters: find them, send them again, give them up.
///
/// A record that fails for good is put away in <topic>.dlq, from which nothing can be deleted. What was done with one, redriven or purged, is its state in
/// coafi.dlq.state; `list` shows those that nobody has acted on.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi dlq list --topic coafi.git --class permanent
  coafi dlq show coafi.git.dlq/3/42
  coafi dlq redrive --topic coafi.git --handler git_commit --reason 'fixed in 1.4.2'
  coafi dlq purge --topic coafi.git --class poison --from 30d --to 7d --reason 'broken producer' --yes")]
pub(super) enum Dlq {
    List(list::List),
    Show(show::Show),
    Redrive(redrive::Redrive),
    Purge(purge::Purge),
}

impl Dlq {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Redrive(command) => command.run(context).await,
            Self::Purge(command) => command.run(context).await,
        }
    }
}
