//! `coafi config`.

use clap::Subcommand;

use super::output::table;
use super::{Context, Exit, Failure};
use crate::config::Entry;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Print every setting in force and where it came from; secrets are shown as ***.
    #[command(after_help = "Examples:
  coafi config show
  coafi config show --changed
  COAFI__KAFKA__GROUP_ID=test coafi config show --output json

Exit codes: 0 shown, 2 the configuration is wrong.")]
    Show {
        /// Only settings that differ from the defaults' place: from a file or from the environment.
        #[arg(long)]
        changed: bool,
    },
}

impl Config {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let Self::Show { changed } = self;
        let shown: Vec<&Entry> = context.entries().iter().filter(|e| !changed || e.origin != "default").collect();
        context.output().show(&shown, |entries| {
            let rows = entries.iter().map(|e| [e.key.clone(), e.value.clone(), e.origin.clone()]);
            table(&["key", "value", "from"], 3, rows)
        })?;
        Ok(Exit::Ok)
    }
}
