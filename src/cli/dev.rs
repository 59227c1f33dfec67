//! `coafi dev`: every role in one process, and what a person sees of it.

mod face;

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::consume::flush;
use super::{Context, Exit, Failure};
use crate::app::{self, DevOptions, Ended};
use crate::config::Repository;
use crate::runtime::{Shutdown, Summary, unix_ms};

pub(super) use face::events_table;
pub use face::{Arrived, Face};

/// What is logged, unless the configuration says otherwise: a source that fails is shown by the command itself.
pub(super) const LOGGED: &str = "warn,coafi::connectors::owned=off";

/// What `coafi dev` has of its own.
const PLACES: [&str; 3] = ["kafka.bootstrap_servers", "schema_registry.url", "database.url"];

/// How often the roles are asked how far they are.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Run everything in one process over git repositories, for trying it out.
///
/// The connector, an embedded Kafka cluster, a built-in schema registry, an SQLite database and a consumer: every commit
/// becomes an event, is handled, audited and committed. Goes on watching until it is stopped. The embedded cluster delivers
/// at least once, holds a bounded number of records, and is gone at exit. Where api.keys or api.jwt are configured, the API is
/// served too, on api.listen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi dev
  coafi dev --once --repo ../project --output json
  coafi dev --once --workflows
  coafi dev --repo https://github.com/octocat/Hello-World.git

Exit codes: 0 stopped, or everything is handled with --once, 1 it failed, or a repository cannot be
read with --once, 2 the command line, the configuration or the routes are wrong.")]
pub(super) struct Dev {
    /// End once every commit has been handled.
    #[arg(long)]
    once: bool,
    /// With --once: run workflows too, and end once nothing has followed for two seconds; what waits for longer is left.
    #[arg(long, requires = "once")]
    workflows: bool,
    /// A repository's path or URL; by default the configured ones, else the working directory.
    #[arg(long = "repo", value_name = "PATH|URL")]
    repositories: Vec<String>,
}

impl Dev {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repositories = self.repositories(context);
        let options = DevOptions { repositories, once: self.once, workflows: self.workflows };
        let telemetry = context.start_quiet_telemetry(LOGGED)?;
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        let mut face = Face::new(context.output());
        face.starting(&options.repositories.iter().map(|repository| repository.url.clone()).collect::<Vec<_>>());
        let unused = context.configured(&PLACES);
        if !unused.is_empty() {
            context.output().remark(&format!(
                "It has a cluster, a registry and a database of its own; not used: {}",
                unused.join(", ")
            ));
        }
        let ended = shutdown.watch(show(context, &options, &mut face, stop)).await;
        flush(context, telemetry).await;
        face.finished(&ended?)?;
        Ok(Exit::Ok)
    }

    fn repositories(&self, context: &Context) -> Vec<Repository> {
        let configured = &context.settings().git.repositories;
        match (self.repositories.is_empty(), configured.is_empty()) {
            (false, _) => self.repositories.iter().map(Repository::new).collect(),
            (true, false) => configured.clone(),
            (true, true) => vec![Repository::new(".")],
        }
    }
}

/// Runs every role and shows how far they are, until `stop` or, with `once`, until everything is handled.
async fn show(
    context: &Context,
    options: &DevOptions,
    face: &mut Face,
    stop: CancellationToken,
) -> Result<Summary, Failure> {
    let dev = app::Dev::start(context.settings(), options, context.exports_spans()).await?;
    if let Some(address) = dev.api_address() {
        context.output().remark(&format!("The API is served on http://{address}"));
    }
    if !options.once {
        let environment = dev.environment().display();
        context.output().remark(&format!("Other commands reach it in a shell that has read this: . {environment}"));
    }
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    let (mut watching, mut nothing, mut shown_errors) = (false, false, Vec::new());
    while !stop.is_cancelled() && !dev.has_failed() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {}
        }
        let moment = dev.moment();
        // With `once` an error ends the run, and is what it ends with.
        if moment.errors != shown_errors && !options.once {
            moment.errors.iter().for_each(|error| context.output().remark(error));
            shown_errors.clone_from(&moment.errors);
        }
        if watching {
            dev.ended().iter().filter_map(arrived).for_each(|arrived| face.arrived(&arrived));
            continue;
        }
        face.progress(&moment.summary, Some(moment.total));
        if moment.caught_up && moment.total == 0 && !nothing {
            nothing = true;
            context
                .output()
                .remark("There is nothing to handle: the repositories have no commits on branches that are watched.");
        }
        if moment.caught_up && options.once {
            break;
        }
        if moment.caught_up {
            // What ended up to here is in the table.
            drop(dev.ended());
            face.caught_up(&moment.summary)?;
            watching = true;
        }
    }
    Ok(dev.finish().await?)
}

/// A commit that came while watching; pushes and tags come along with their commits.
fn arrived(ended: &Ended) -> Option<Arrived> {
    let (branch, commit) = ended.id.rsplit_once('@').filter(|_| ended.event_type == "git.commit")?;
    let took_ms = ended.appeared_ms.map_or(0, |then| u128::try_from(unix_ms() - then).unwrap_or(0));
    Some(Arrived {
        commit: commit.to_owned(),
        branch: branch.to_owned(),
        files: ended.files,
        outcome: ended.outcome,
        took: Duration::from_millis(u64::try_from(took_ms).unwrap_or(u64::MAX)),
    })
}
