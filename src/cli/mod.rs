//! The command line: `coafi <noun> <verb>`, one file per noun.
//!
//! Tables for people, `--output json` for programs; what is asked for goes to stdout, everything else to stderr. A noun
//! knows how to ask and how to show; what it asks for lives in the modules below.

#![allow(clippy::disallowed_methods, reason = "edge: a command waits and measures what a person waits for")]

mod acls;
mod answer;
mod api;
mod causes;
mod completions;
mod config;
mod connect;
mod consume;
mod context;
mod dev;
mod dlq;
mod event;
mod exit;
mod federated;
mod group;
mod health;
mod notify;
mod output;
mod progress;
mod registry;
mod replay;
mod routes;
mod routes_test;
mod schedule;
mod schemas;
mod selecting;
mod send;
mod serving;
mod topics;
mod unprocessed;
mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app;
use crate::bitt::{Heard, Trail};

use answer::Answer;
pub use context::Context;
pub use dev::{Arrived, Face};
pub use exit::{Exit, Failure};
pub use output::{Format, Output};
pub use progress::Bar;
pub use selecting::{Between, Selecting};

/// Ordered, exactly-once, provable event handling on Kafka.
#[derive(Debug, Parser)]
#[command(name = "coafi", version, max_term_width = 120, after_help = EXIT_CODES, propagate_version = false)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    noun: Noun,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file; else COAFI_CONFIG, else coafi.yaml if it is there.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// How results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    pub output: Format,
    /// Only results and errors.
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or the answer is yes
  1    it failed, or the answer is no
  2    the command line or the configuration is wrong
  3    Kafka, the schema registry, the database or a replica does not answer
  130  stopped at once by a second signal

Every setting of coafi.yaml can be given as COAFI__SECTION__KEY; `coafi config show` prints what is in force.";

#[derive(Debug, Subcommand)]
enum Noun {
    /// Run everything in one process over git repositories, for trying it out.
    Dev(dev::Dev),
    /// Handle events: one replica of the consumer group.
    Consume(consume::Consume),
    /// Publish a source's events to Kafka.
    #[command(subcommand)]
    Connect(connect::Connect),
    Api(api::Api),
    /// Single events: publish one, or see what happened to it.
    #[command(subcommand)]
    Event(Event),
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    #[command(subcommand)]
    Unprocessed(unprocessed::Unprocessed),
    /// The consumer group.
    #[command(subcommand)]
    Group(group::Group),
    /// Which handler takes which event.
    #[command(subcommand)]
    Routes(Routing),
    /// Handle recorded events again, beside the live group.
    Replay(replay::Replay),
    #[command(subcommand)]
    Schedule(schedule::Schedules),
    #[command(subcommand)]
    Registry(registry::Registry),
    #[command(subcommand)]
    Workflow(workflow::Workflows),
    #[command(subcommand)]
    Notify(notify::Notify),
    #[command(subcommand)]
    Federated(federated::Federated),
    /// The cluster's topics, as topics/*.yaml declares them.
    #[command(subcommand)]
    Topics(topics::Topics),
    Acls(acls::Acls),
    /// The schemas of avro/ in the schema registry.
    #[command(subcommand)]
    Schemas(schemas::Schemas),
    /// The configuration in force.
    #[command(subcommand)]
    Config(config::Config),
    /// Ask a running replica whether it is alive.
    Health(health::Health),
    /// Write a shell's completion script to stdout.
    Completions(completions::Completions),
}

#[derive(Debug, Subcommand)]
enum Routing {
    #[command(flatten)]
    File(routes::Routes),
    Test(routes_test::Test),
}

#[derive(Debug, Subcommand)]
enum Event {
    Send(send::Send),
    Show(event::Show),
}

/// Parses the process' arguments, runs the command and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    if let Noun::Completions(completions) = &cli.noun {
        return completions.run();
    }
    let context = Context::load(&cli.global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(context.settings().workers.threads())
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("worker threads cannot be started").because(error))?;
    let ended = runtime.block_on(cli.noun.run(&context));
    // What is still blocking by now (a DNS look-up, say) must not keep the process from ending.
    runtime.shutdown_background();
    ended
}

impl Noun {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Dev(command) => command.run(context).await,
            Self::Consume(command) => command.run(context).await,
            Self::Connect(command) => command.run(context).await,
            Self::Api(command) => command.run(context).await,
            Self::Event(Event::Send(command)) => command.run(context).await,
            Self::Event(Event::Show(command)) => show(command, context).await,
            Self::Dlq(command) => command.run(context).await,
            Self::Unprocessed(command) => command.run(context).await,
            Self::Group(command) => command.run(context).await,
            Self::Routes(Routing::Test(command)) => command.run(context).await,
            Self::Routes(Routing::File(command)) => {
                let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
                let file = &context.settings().routes_file;
                let routes = app::routes(context.settings(), &declarations)?;
                if app::routes_are_built_in(file) {
                    let remark =
                        format!("there is no {} here: these are the routes that coafi was built with", file.display());
                    context.output().remark(&remark);
                }
                context.output().answer(&command.run(&routes, &context.settings().endpoints, &declarations)?)
            }
            Self::Replay(command) => command.run(context).await,
            Self::Schedule(command) => command.run(context).await,
            Self::Registry(command) => command.run(context).await,
            Self::Workflow(command) => command.run(context).await,
            Self::Notify(command) => command.run(context).await,
            Self::Federated(command) => command.run(context),
            Self::Topics(command) => {
                let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
                context.output().answer(&command.run(context, declarations).await?)
            }
            Self::Schemas(command) => {
                let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
                context.output().answer(&command.run(context.places().registry, &declarations).await?)
            }
            Self::Acls(command) => command.run(context),
            Self::Config(command) => command.run(context),
            Self::Health(command) => command.run(context).await,
            Self::Completions(command) => command.run(),
        }
    }
}

async fn show(command: event::Show, context: &Context) -> Result<Exit, Failure> {
    let trail = Trail::new(context.places().reader(), app::AUDIT_TOPIC);
    let bar = context.output().bar("reading audit records", None);
    let heard = |heard: Heard| match heard {
        Heard::Progress(progress) => bar.set(progress.done, Some(progress.total), String::new()),
        Heard::Rubbish { place, failure } => {
            context.output().remark(&format!("passed over: {place} is no audit record that can be read: {failure}"));
        }
    };
    let answer = command.run(&trail, &context.codec()?, heard).await?;
    context.output().answer(&answer)
}
