//! Topics as they are declared in `topics/*.yaml`, and how a cluster differs from that.
//!
//! [`Declaration`] is one file; from it come the [`Topic`]s that the cluster is to have: the topic itself, its retry tiers
//! and its dead-letter topic. [`plan`] compares them with what a cluster has and is pure; `super::admin` asks the cluster
//! and applies a plan.

mod amounts;
mod declaration;
mod derived;
mod plan;

pub use declaration::{Cleanup, DeadLetter, Declaration, Retention, Retry, TopicError, declarations, embedded, read};
pub use derived::{DEAD_LETTER_MARGIN_BYTES, Topic, topics};
pub use plan::{Change, ConfigChange, Observed, Plan, Step, plan};
