//! `coafi consume`.

use std::time::Duration;

use clap::Args;

use super::{Context, Exit, Failure};
use crate::config::parse_duration;

/// Handle events: one replica of the consumer group.
///
/// Runs until SIGTERM or SIGINT, then finishes what it has begun within kafka.drain.timeout. Start as many replicas as the
/// topics have partitions; on one machine each needs its own --slot and http.listen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coafi consume\n  coafi consume --exit-when-idle 5s --output json\n  \
                        COAFI__HTTP__LISTEN=0.0.0.0:8081 coafi consume --slot b")]
pub(super) struct Consume {
    /// End, with a summary, once nothing has been left to do for this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) exit_when_idle: Option<Duration>,
    /// The stable half of transactional.id; by default kafka.slot.
    #[arg(long)]
    pub(super) slot: Option<String>,
    /// The consumer group; by default kafka.group_id.
    #[arg(long)]
    pub(super) group: Option<String>,
}

impl Consume {
    pub(super) async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        Err(Failure::failed("this build has no consumer"))
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "allowed: a duration such as 500ms, 5s or 1m".to_owned())
}
