//! `coafi group lag`.

use clap::Args;
use serde::Serialize;

use super::{Asked, Context, Exit, Failure, TIMEOUT, blocking, decoded, incomplete};
use crate::app::STATUS_TOPIC;
use crate::cli::output::table;
use crate::group::{Behind, View, behind, span};
use crate::kafka::{GroupFacts, REPORTS_WAIT, group_lag, replica_reports};
use crate::runtime::unix_ms;

const HEADER: [&str; 11] = [
    "topic",
    "partition",
    "committed",
    "end",
    "lag",
    "unfetched",
    "waiting",
    "in flight",
    "parked",
    "retrying",
    "oldest",
];

/// How far the group is behind, per topic and partition.
///
/// Lag counts offsets between the committed position and the last committed record. Transaction markers, and records
/// that are resolved although an earlier one of their partition is not, count until the position passes them. The age of
/// the oldest unresolved record is that of the record at the position.
///
/// What is left is split by what it waits for, as the replica that has the partition said last: unfetched (not polled yet),
/// waiting (for its turn, a slot, its receipt or the commit), in flight (with a handler), parked (for its next attempt in
/// place). Whatever is left in a retry topic is retrying.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coafi group lag\n  coafi group lag --group coafi --topic coafi.git\n  \
                        coafi group lag --max 1000 || echo 'too far behind'\n  coafi group why    # if it does not move\n\n\
                        Exit codes: 0 shown, 1 the total is above --max, or the group has committed nothing and --max is given,\n\
                        or a topic is not there, 2 the command line is wrong,\n\
                        3 Kafka does not answer.")]
pub(in crate::cli) struct Lag {
    #[command(flatten)]
    asked: Asked,
    /// Exit with 1 if the total is above this, or the group has committed nothing at all.
    #[arg(long, value_name = "RECORDS")]
    max: Option<u64>,
}

/// The JSON of `coafi group lag`.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    group: &'a str,
    total: u64,
    partitions: &'a [Behind],
}

impl Lag {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let kafka = self.asked.kafka(context);
        let (group, topics) = (kafka.group_id.clone(), self.asked.topics);
        let (lag, (membership, said)) = blocking(move || {
            let lag = group_lag(&kafka, &topics, TIMEOUT)?;
            // Without partitions there is nothing to split.
            let nothing = lag.partitions.is_empty();
            let reports =
                if nothing { Default::default() } else { replica_reports(&kafka, STATUS_TOPIC, REPORTS_WAIT) };
            Ok((lag, reports))
        })
        .await?;
        let reports = decoded(context, &said.values).await?;
        let facts = GroupFacts { lag, membership, ..GroupFacts::default() };
        let now_ms = unix_ms();
        incomplete(context, &said, now_ms);
        let rows = behind(&View { group: &group, facts: &facts, reports: &reports, now_ms });
        let total = facts.lag.total();
        show(context, &Shown { group: &group, total, partitions: &rows }, now_ms)?;
        // Who watches a name that nobody has, or a group that has never begun, is to hear of it.
        let too_far = |max| total > max || rows.is_empty();
        Ok(if self.max.is_some_and(too_far) { Exit::No } else { Exit::Ok })
    }
}

fn show(context: &Context, shown: &Shown<'_>, now_ms: i64) -> std::io::Result<()> {
    if shown.partitions.is_empty() {
        context
            .output()
            .remark(&format!("group {} has committed no offset yet; `coafi group why` says what waits", shown.group));
    }
    for (replica, as_of_ms) in silent(shown.partitions) {
        let ago = span(now_ms - as_of_ms);
        context.output().remark(&format!("replica {replica} has not reported for {ago}: `coafi group why`"));
    }
    context.output().show(shown, |shown| {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let rows = shown.partitions.iter().map(|p| {
            let committed = p.committed.map_or("-".to_owned(), |offset| offset.to_string());
            let oldest = p.oldest_ms.map_or("-".to_owned(), |then| span(now_ms - then));
            let mut row =
                vec![p.topic.clone(), p.partition.to_string(), committed, p.end.to_string(), p.lag.to_string()];
            row.extend([p.unfetched, p.waiting, p.in_flight, p.parked, Some(p.retrying)].map(number));
            row.push(oldest);
            row
        });
        let mut total = vec![String::new(); HEADER.len()];
        "total".clone_into(&mut total[0]);
        total[4] = shown.total.to_string();
        table(&HEADER, 1, rows.chain([total]))
    })
}

/// Replicas whose word is old, each once.
fn silent(partitions: &[Behind]) -> std::collections::BTreeMap<&str, i64> {
    partitions.iter().filter_map(|p| Some((p.replica.as_deref()?, p.as_of_ms?))).collect()
}
