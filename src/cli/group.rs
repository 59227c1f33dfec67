//! `coafi group`.

mod lag;
mod why;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Context, Exit, Failure};
use crate::config::Kafka;
use crate::kafka::{LagError, Reports, is_refusal};
use crate::schema::payloads::ReplicaStatus;
use crate::{app, group};

/// One answer of a broker is waited for this long.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    Lag(lag::Lag),
    Why(why::Why),
}

/// Which group, and which of its topics.
#[derive(Debug, Args)]
struct Asked {
    /// The consumer group; by default kafka.group_id.
    #[arg(long)]
    group: Option<String>,
    /// Only these topics; by default every topic in which the group has committed.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
}

impl Group {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Lag(command) => command.run(context).await,
            Self::Why(command) => command.run(context).await,
        }
    }
}

impl Asked {
    /// How to reach Kafka, as this group.
    fn kafka(&self, context: &Context) -> Kafka {
        let mut kafka = context.settings().kafka.clone();
        if let Some(group) = &self.group {
            kafka.group_id.clone_from(group);
        }
        kafka
    }
}

/// Runs what waits for Kafka where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LagError> + Send + 'static,
) -> Result<T, Failure> {
    let asked = tokio::task::spawn_blocking(ask).await;
    Ok(asked.map_err(|error| Failure::failed("asking Kafka failed").because(error))??)
}

/// Says that some of what replicas have published was not read, and is missing.
fn incomplete(context: &Context, reports: &Reports, now_ms: i64) {
    if let Some(before_ms) = reports.unread_before_ms {
        let ago = group::span(now_ms - before_ms);
        context.output().remark(&format!(
            "incomplete: what replicas said more than {ago} ago in {} was not read in time; one that has been silent since then is missing",
            app::STATUS_TOPIC
        ));
    }
}

/// What the replicas of a group say of themselves.
async fn decoded(context: &Context, values: &[Vec<u8>]) -> Result<Vec<ReplicaStatus>, Failure> {
    Ok(if values.is_empty() { Vec::new() } else { group::decode(&context.codec()?, values).await })
}

/// Topics that the routes in force take events from. Those that cannot be read are said, and are no reason not to answer.
fn consumed(context: &Context) -> Vec<String> {
    let consumed = || -> anyhow::Result<Vec<String>> {
        let declarations = app::declarations(context.settings())?;
        let routes = app::routes(context.settings(), &declarations)?;
        Ok(app::consumed(&routes, &declarations))
    };
    consumed().unwrap_or_else(|error| {
        context.output().remark(&format!("topics without a committed offset are not looked at: {error}"));
        Vec::new()
    })
}

impl From<LagError> for Failure {
    fn from(error: LagError) -> Self {
        let (message, next) =
            (error.to_string(), "check kafka.bootstrap_servers and that the cluster is up (`make up`)");
        match error {
            LagError::UnknownTopic { .. } => Self::failed(message).next("list what is there with `coafi topics plan`"),
            LagError::Client(source) => Self::usage(message).because(source).next("check kafka.client"),
            LagError::Silent { .. } => Self::unavailable(message).next(next),
            LagError::Thread(source) => Self::failed(message).because(source),
            LagError::Unavailable { source, .. } if is_refusal(&source) => {
                Self::unavailable(message).because(source).next("`coafi acls look` says what has to be allowed")
            }
            LagError::Unavailable { source, .. } => Self::unavailable(message).because(source).next(next),
        }
    }
}
