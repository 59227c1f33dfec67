//! `coafi connect bitt` and `coafi connect federated`.

use clap::Args;

use super::super::output::table;
use super::super::{Bar, Context, Exit, Failure};
use super::beside::Beside;
use crate::app;
use crate::connectors::tail::{ConnectorError, Phase, Progress, TailConnector};
use crate::runtime::Shutdown;

/// Audit records that bitt.watch names as events on coafi.bitt.
///
/// Every record of coafi.bitt.records that matches becomes one event for each watch, however often this is killed; what
/// follows from those events never matches again. One process does it, as many as wanted stand by. Ends on SIGTERM or SIGINT.
/// Serves /health, /ready and /metrics on http.listen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi connect bitt
  coafi --config watches.yaml connect bitt

Exit codes: 0 stopped, 1 records are lost and bitt.on_loss is halt, or a topic is not there, 2 the configuration is wrong or
watches for nothing, 3 Kafka does not answer.")]
pub(in crate::cli) struct Bitt {}

/// Messages in topics of other domains as events on coafi.federated.
///
/// Every record of a domain's topics becomes one event: its message, if the domain is known to have sent it, or
/// federated.refused with the reason. Processes share the topics out, and take over from each other. Ends on SIGTERM or SIGINT.
/// Serves /health, /ready and /metrics on http.listen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi connect federated
  coafi --config examples/federated/aero.yaml connect federated

Exit codes: 0 stopped, 1 records are lost and the domain's on_loss is halt, or a topic of ours is not there, 2 the
configuration is wrong or no domain has topics, 3 Kafka does not answer.")]
pub(in crate::cli) struct Federated {}

impl Bitt {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if context.settings().bitt.watch.is_empty() {
            return Err(Failure::usage("nothing is watched for").next("set bitt.watch; see docs/bitt-trigger.md"));
        }
        run(context, app::bitt_connector(context.settings(), &context.places(), context.codec()?)).await
    }
}

impl Federated {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if !context.settings().federated.has_topics() {
            let next = "set topics of a domain in federated.domains; see docs/federated.md";
            return Err(Failure::usage("no domain has topics").next(next));
        }
        run(context, app::federated_connector(context.settings(), &context.places(), context.codec()?)?).await
    }
}

async fn run(context: &Context, connector: TailConnector) -> Result<Exit, Failure> {
    let telemetry = context.start_quiet_telemetry("warn")?;
    let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()).because(error))?;
    let beside = Beside { context, telemetry, shutdown, pages: true, counts: "records" };
    let ended = beside.run(show, |stop, report| connector.run(stop, report)).await?;
    let progress = ended.map_err(failure)?;
    let json = serde_json::json!({"sources": progress.sources.iter().map(|(name, source)| {
        serde_json::json!({
            "source": name, "records": source.read, "events": source.published, "refused": source.refused,
            "lost": source.lost,
        })
    }).collect::<Vec<_>>()});
    context.output().show(&json, |_| {
        let cells = progress.sources.iter().map(|(name, source)| {
            let counts = [source.read, source.published, source.refused, source.lost].map(|count| count.to_string());
            [vec![name.clone()], counts.to_vec()].concat()
        });
        table(&["source", "records", "events", "refused", "lost"], 1, cells)
    })?;
    Ok(Exit::Ok)
}

fn show(bar: &Bar, progress: &Progress) {
    let read = progress.sources.values().map(|source| source.read).sum();
    let failing = progress.sources.values().filter(|source| source.phase == Phase::Failing);
    let error = failing.filter_map(|source| source.error.clone()).next();
    bar.set(read, None, error.unwrap_or_else(|| format!("{} events", progress.published())));
}

fn failure(error: ConnectorError) -> Failure {
    let message = error.to_string();
    match error {
        ConnectorError::Sources(_) => Failure::usage(message).next("see federated.domains"),
        ConnectorError::NoTopic(_) => Failure::failed(message).next("run `coafi topics apply`"),
        ConnectorError::Kafka(source) => Failure::unavailable(message)
            .because(source)
            .next("check kafka.bootstrap_servers; `make up` starts a cluster"),
        ConnectorError::Failed(_) => {
            Failure::failed(message).next("correct what is named and run it again; it continues")
        }
    }
}
