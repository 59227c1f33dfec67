//! Schedules as a trigger source: whoever leads publishes a fire at each due time, and says in a ledger what became of it.
//!
//! [`crate::schedule`] decides; this publishes what it decided. One transaction has the fires, their entries in the schedule
//! ledger, and up to when each schedule is decided. There is one leader among the processes of a deployment, found by
//! [`Ownership`](super::Ownership) and made the only one by the fencing of [`Publisher`](super::Publisher): one that was
//! cut off and comes back late cannot publish, and whoever follows goes on exactly where the last transaction ended.
//!
//! People work through [`Desk`]. To pause is to take the source over for a moment: what the leader had in hand is fenced
//! off, and decided by whoever pauses; the leader claims the source anew and finds the pause. So nothing is fired once the
//! command has returned, with no other topic to watch.
//!
//! It does not know what handles a fire.

mod backfill;
mod connector;
mod desk;
mod error;
mod ledger;
mod position;
mod progress;
mod records;
mod settings;
mod turn;

pub use backfill::{BACKFILL_MAX, Backfill, BackfillError, Due};
pub use connector::ScheduleConnector;
pub use desk::Desk;
pub use error::ScheduleError;
pub use ledger::{Ledger, LookError};
pub use position::positions;
pub use progress::{Phase, Progress, ScheduleProgress};
pub use settings::{LEDGER_TOPIC, SCHEDULE_TOPIC, ScheduleSettings};
