//! The Rust side of `avro/*.avsc`: one file per record, fields in the schema's order (which spares the encoder a buffer).
//!
//! The `.avsc` files are the truth; `tests` here fail when a field is on one side only or has another type. Times are
//! milliseconds since the Unix epoch.

mod api_reply;
mod api_request;
mod bitt_record;
mod drill_step;
mod federated_message;
mod federated_refused;
mod git_commit;
mod git_push;
mod git_tag;
mod intervention;
mod letter_state;
mod notification_delivery;
mod notification_requested;
mod outcome;
mod place;
mod receipt;
mod replica_status;
mod schedule_decision;
mod schedule_fired;
mod source_offset;
#[cfg(test)]
mod tests;
mod workflow_arrived;
mod workflow_called;
mod workflow_command;
mod workflow_completed;
mod workflow_failed;
mod workflow_requested;
mod workflow_step;

pub use api_reply::ApiReply;
pub use api_request::ApiRequest;
pub use bitt_record::BittRecord;
pub use drill_step::{DrillAction, DrillStep};
pub use federated_message::{FederatedAuthentication, FederatedMessage, FederatedMethod};
pub use federated_refused::FederatedRefused;
pub use git_commit::{ChangedFile, FileKind, FileStatus, GitCommit, Person};
pub use git_push::GitPush;
pub use git_tag::{GitTag, TagAction};
pub use intervention::{Intervention, InterventionKind};
pub use letter_state::{Claim, LetterState, LetterStatus};
pub use notification_delivery::{DeliveredNotification, NotificationDelivery};
pub use notification_requested::NotificationRequested;
pub use outcome::{Outcome, OutcomeKind, OutcomeStep};
pub use place::Place;
pub use receipt::Receipt;
pub use replica_status::{ReplicaOutage, ReplicaPartition, ReplicaReason, ReplicaStatus};
pub use schedule_decision::{DecisionKind, ScheduleDecision};
pub use schedule_fired::{FireReason, ScheduleFired};
pub use source_offset::SourceOffset;
pub use workflow_arrived::WorkflowArrived;
pub use workflow_called::WorkflowCalled;
pub use workflow_command::WorkflowCommand;
pub use workflow_completed::WorkflowCompleted;
pub use workflow_failed::WorkflowFailed;
pub use workflow_requested::WorkflowRequested;
pub use workflow_step::WorkflowStep;

use super::Payload;

/// What an [`super::Encoder`] of `T` takes: `T` itself, or a form of it that borrows.
pub trait Encodes<T: Payload>: serde::Serialize {}
