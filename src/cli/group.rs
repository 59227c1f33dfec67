//! `coafi group`.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::output::table;
use super::{Context, Exit, Failure};
use crate::kafka::{GroupLag, LagError, PartitionOffsets, group_lag};
use crate::runtime::unix_ms;

/// One answer of a broker is waited for this long.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// How far the group is behind, per topic and partition.
    ///
    /// Lag counts offsets between the committed position and the last committed record. Transaction markers, and records
    /// that are resolved although an earlier one of their partition is not, count until the position passes them. The age of
    /// the oldest unresolved record is that of the record at the position.
    #[command(after_help = "Examples:\n  coafi group lag\n  coafi group lag --group coafi --topic coafi.git\n  \
                            coafi group lag --max 1000 || echo 'too far behind'")]
    Lag {
        /// The consumer group; by default kafka.group_id.
        #[arg(long)]
        group: Option<String>,
        /// Only these topics; by default every topic in which the group has committed.
        #[arg(long = "topic", value_name = "TOPIC")]
        topics: Vec<String>,
        /// Exit with 1 if the total is above this.
        #[arg(long, value_name = "RECORDS")]
        max: Option<u64>,
    },
}

/// The JSON of `coafi group lag`.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    group: &'a str,
    total: u64,
    partitions: &'a [PartitionOffsets],
}

impl Group {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Self::Lag { group, topics, max } = self;
        let mut kafka = context.settings().kafka.clone();
        if let Some(group) = group {
            kafka.group_id = group;
        }
        let group = kafka.group_id.clone();
        let asked = tokio::task::spawn_blocking(move || group_lag(&kafka, &topics, TIMEOUT));
        let lag = asked.await.map_err(|error| Failure::failed("asking Kafka failed").because(error))??;
        show(context, &group, &lag)?;
        Ok(if max.is_some_and(|max| lag.total() > max) { Exit::No } else { Exit::Ok })
    }
}

fn show(context: &Context, group: &str, lag: &GroupLag) -> std::io::Result<()> {
    if lag.partitions.is_empty() {
        context.output().remark(&format!("group {group} has committed no offset yet"));
    }
    let shown = Shown { group, total: lag.total(), partitions: &lag.partitions };
    context.output().show(&shown, |shown| {
        let now_ms = unix_ms();
        let age = |then_ms: i64| (now_ms - then_ms).max(0) / 1_000;
        let rows = shown.partitions.iter().map(|p| {
            let committed = p.committed.map_or("-".to_owned(), |offset| offset.to_string());
            let oldest = p.oldest_ms.map_or("-".to_owned(), |then| format!("{} s", age(then)));
            let numbers = [committed, p.end.to_string(), p.lag().to_string(), oldest];
            [vec![p.topic.clone(), p.partition.to_string()], numbers.to_vec()].concat()
        });
        let total = ["total", "", "", "", &shown.total.to_string(), ""].map(str::to_owned).to_vec();
        table(&["topic", "partition", "committed", "end", "lag", "oldest"], 1, rows.chain([total]))
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
            LagError::Unavailable { source, .. } => Self::unavailable(message).because(source).next(next),
        }
    }
}
