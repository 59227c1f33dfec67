//! `coafi connect`.

mod beside;
mod schedule;
mod tails;

use clap::{Args, Subcommand};

use self::beside::Beside;
use super::output::table;
use super::{Bar, Context, Exit, Failure};
use crate::app;
use crate::config::{GitStart, Repository};
use crate::connectors::git::{ConnectorError, Progress, Start};
use crate::runtime::Shutdown;

/// Publish a source's events to Kafka.
#[derive(Debug, Subcommand)]
pub(super) enum Connect {
    /// Every commit, tag and push of git repositories as an event on coafi.git.
    ///
    /// Continues where the last connector of the repository stopped; a second one stands by. Ends on SIGTERM or SIGINT, or
    /// with --once when everything is published. Without --once it serves /health, /ready and /metrics on http.listen.
    #[command(after_help = "Examples:
  coafi connect git --repo . --once
  coafi connect git --repo https://github.com/octocat/Hello-World.git --branch main --path 'docs/**' --start now
  coafi connect git

Exit codes: 0 stopped, or everything is published with --once, 1 a topic is not there, or a
repository cannot be read with --once, 2 no repository is named or the configuration is wrong, 3
Kafka does not answer.")]
    Git(Git),
    Schedule(schedule::Schedule),
    Bitt(tails::Bitt),
    Federated(tails::Federated),
}

#[derive(Debug, Args)]
pub(super) struct Git {
    /// A repository's path or URL; by default those of git.repositories.
    #[arg(long = "repo", value_name = "PATH|URL")]
    repositories: Vec<String>,
    /// Only branches that match; `*` alone is every branch.
    #[arg(long = "branch", value_name = "GLOB", requires = "repositories")]
    branches: Vec<String>,
    /// Only commits that touch a path that matches.
    #[arg(long = "path", value_name = "GLOB", requires = "repositories")]
    paths: Vec<String>,
    /// Where a repository begins that was never published: history (the default), now, or commit:<sha>.
    #[arg(long, value_name = "START", requires = "repositories")]
    start: Option<Start>,
    /// Publish what is there and end.
    #[arg(long)]
    once: bool,
}

impl Connect {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Git(git) => git.run(context).await,
            Self::Schedule(schedule) => schedule.run(context).await,
            Self::Bitt(bitt) => bitt.run(context).await,
            Self::Federated(federated) => federated.run(context).await,
        }
    }
}

impl Git {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut git = context.settings().git.clone();
        if !self.repositories.is_empty() {
            git.repositories = self.repositories.iter().map(|url| self.repository(url)).collect();
        }
        if git.repositories.is_empty() {
            return Err(Failure::usage("no repository is named").next("give --repo PATH|URL, or set git.repositories"));
        }
        let telemetry = context.start_quiet_telemetry(if self.once { super::dev::LOGGED } else { "warn" })?;
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()).because(error))?;
        let mut connector = app::lone_connector(&git, &context.places(), context.codec()?)?;
        connector.once = self.once;

        let beside = Beside { context, telemetry, shutdown, pages: !self.once, counts: "commits" };
        let progress = beside.run(show, |stop, report| connector.run(stop, report)).await?.map_err(failure)?;
        let rows: Vec<_> = progress.repositories.iter().map(|(name, r)| (name.clone(), r.found, r.published)).collect();
        let json = serde_json::json!({
            "repositories": rows.iter().map(|(name, commits, events)| {
                serde_json::json!({"repository": name, "commits": commits, "events": events})
            }).collect::<Vec<_>>(),
            "events": progress.published(),
        });
        context.output().show(&json, |_| {
            let cells =
                rows.iter().map(|(name, commits, events)| [name.clone(), commits.to_string(), events.to_string()]);
            table(&["repository", "commits", "events"], 1, cells)
        })?;
        Ok(Exit::Ok)
    }

    fn repository(&self, url: &str) -> Repository {
        let mut repository = Repository { paths: self.paths.clone(), ..Repository::new(url) };
        if !self.branches.is_empty() {
            repository.branches.clone_from(&self.branches);
        }
        repository.start = match self.start.unwrap_or(Start::History) {
            Start::History => GitStart::History,
            Start::Now => GitStart::Now,
            Start::Commit(sha) => GitStart::Commit(sha.to_string()),
        };
        repository
    }
}

fn show(bar: &Bar, progress: &Progress) {
    let done = progress.repositories.values().map(|repository| repository.done).sum();
    let failing: Vec<_> = progress.repositories.values().filter_map(|repository| repository.error.as_deref()).collect();
    let remark = failing.first().map_or_else(|| format!("{} events", progress.published()), |&error| error.to_owned());
    bar.set(done, Some(progress.found()), remark);
}

fn failure(error: ConnectorError) -> Failure {
    let message = error.to_string();
    match error {
        ConnectorError::Sources(_) | ConnectorError::Twice(_) => Failure::usage(message).next("see git.repositories"),
        ConnectorError::NoTopic(_) => Failure::failed(message).next("run `coafi topics apply`"),
        ConnectorError::Kafka(source) => Failure::unavailable(message)
            .because(source)
            .next("check kafka.bootstrap_servers; `make up` starts a cluster"),
        ConnectorError::Wakes(source) => Failure::failed(message).because(source),
        ConnectorError::Failed(_) => {
            Failure::failed(message).next("correct what is named and run it again; it continues")
        }
    }
}
