//! `coafi registry search`.

use clap::Args;

use super::super::{Context, Exit, Failure};
use super::{entries, listed, open};
use crate::registry::words;
use crate::store::EntryFilter;

/// Find the entries of a registry whose data has all of these words in its texts, in whatever case.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry search parts 'approved wing'
  coafi registry search documents invariants --output json | jq -r '.entries[].data.path'

Exit codes: 0 found, 1 nothing is, 2 these are no words, 3 the database does not answer.")]
pub(in crate::cli) struct Search {
    /// The registry's name.
    registry: String,
    /// Words.
    text: String,
    /// Only entries whose names begin with this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl Search {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let words = words::asked(&self.text);
        if words.is_empty() {
            return Err(Failure::usage(format!("{:?} has no word in it", self.text)).next("give letters or digits"));
        }
        let store = open(context).await?;
        let filter = EntryFilter { prefix: self.prefix, name: String::new(), words };
        let (found, more) = entries(&*store, &self.registry, &filter, self.limit).await?;
        let mut answer = listed(&self.registry, &found, more);
        answer.yes = !found.is_empty();
        context.output().answer(&answer)
    }
}
