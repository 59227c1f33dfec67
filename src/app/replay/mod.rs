//! Replays recorded events beside the live group.
//!
//! A replay is a consumer group of its own, `<group>.replay.<name>`, with a run of the same name, driven by the same engine,
//! dispatcher and workers as any replica: order, attempts and bounds are the same code. What makes it a replay:
//!
//! | step | file |
//! |---|---|
//! | which events are meant is found out first, by reading; a dry run ends here | `plan` |
//! | what a name was begun for is kept, and it stands for nothing else | `asked` |
//! | of commands that begin a name at the same time, one does | `turn` |
//! | the group starts at the beginning of the range, or where an interrupted replay of this name stopped | `positions` |
//! | what is not meant is passed over; nothing is forwarded, and isolated nothing is derived | `passing` |
//! | it ends when every partition's position is at the end of its range | `run` |
//! | what came out is read back from the audit records, beside what is recorded of the live group | `compare` |
//!
//! The live group is neither joined nor moved: its offsets belong to another group id.

mod asked;
mod compare;
mod passing;
mod plan;
mod positions;
mod run;
mod turn;

pub use asked::{Asked, Other};
pub use compare::{Comparison, Difference, MAX_SHOWN, Side};
pub(super) use passing::Passing;
pub use plan::{Group, Listed, MAX_EVENTS, Plan};
pub use positions::asked as asked_before;
pub use run::{Replay, Replayed, Replaying, own_group};
pub use turn::Overtaken;
