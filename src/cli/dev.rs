//! `coafi dev`: every role in one process, and what a person sees of it.

mod face;

use clap::Args;

use super::{Context, Exit, Failure};

pub use face::{Arrived, Face};

/// Run everything in one process over git repositories, for trying it out.
///
/// The connector, an embedded Kafka cluster, a built-in schema registry, an SQLite database and a consumer: every commit
/// becomes an event, is handled, audited and committed. Goes on watching until it is stopped. The embedded cluster delivers
/// at least once, holds a bounded number of records, and is gone at exit.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coafi dev\n  coafi dev --once --repo ../project --output json\n  \
                        coafi dev --repo https://github.com/octocat/Hello-World.git")]
pub(super) struct Dev {
    /// End once every commit has been handled; exit code 0.
    #[arg(long)]
    pub(super) once: bool,
    /// A repository's path or URL; by default the configured ones, else the working directory.
    #[arg(long = "repo", value_name = "PATH|URL")]
    pub(super) repositories: Vec<String>,
}

impl Dev {
    pub(super) async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        Err(Failure::failed("this build has no embedded cluster"))
    }
}
