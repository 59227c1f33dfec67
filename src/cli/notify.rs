//! `coafi notify`.

mod channels;
mod send;
mod test;

use clap::Subcommand;

use super::{Context, Exit, Failure};
use crate::notify::Notifier;

/// Notifications: the channels, whether they work, and saying something.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi notify channels
  coafi notify test ops-chat
  coafi notify send --severity warning --title 'The press stands still' --group press

`coafi consume` sends them; docs/notifications.md says how channels and rules are configured.")]
pub(super) enum Notify {
    Channels(channels::Channels),
    Test(test::Test),
    Send(Box<send::Send>),
}

impl Notify {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Channels(command) => command.run(context),
            Self::Test(command) => command.run(context).await,
            Self::Send(command) => command.run(context).await,
        }
    }
}

/// # Errors
/// A channel of this name is not configured.
fn check_channel(notifier: &Notifier, name: &str) -> Result<(), Failure> {
    if notifier.channel(name).is_some() {
        return Ok(());
    }
    let known = notifier.channels().map(|channel| channel.name.as_str()).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none is".to_owned() } else { known };
    Err(Failure::usage(format!("no channel {name:?} is configured; configured: {known}"))
        .next("name one of these, or add it to notifications.channels; see docs/notifications.md"))
}
