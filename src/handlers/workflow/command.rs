//! `workflow.command`: a person steps in.

use super::turn::{self, Effects};
use crate::dispatch::{Context, Failure, Success, once};
use crate::event::Event;
use crate::schema::payloads::WorkflowCommand;
use crate::workflow::{self, Fault, Input, Path};

/// What a command's `action` may be.
pub const CANCEL: &str = "cancel";
/// See [`CANCEL`].
pub const RETRY: &str = "retry";
/// See [`CANCEL`].
pub const APPROVE: &str = "approve";
/// See [`CANCEL`].
pub const REJECT: &str = "reject";

/// Where whoever acts says nothing of it.
pub(super) const NO_REASON: &str = "no reason was given";

pub(super) fn cancelled(by: &str, reason: &str) -> Fault {
    let reason = if reason.is_empty() { NO_REASON } else { reason };
    Fault::new("cancelled", format_args!("cancelled by {by}: {reason}"))
}

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let command: WorkflowCommand = context.services.codec.decode(event).await?;
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let input = match command.action.as_str() {
        CANCEL => Input::Cancel { fault: cancelled(&command.by, &command.reason) },
        RETRY => Input::Retry,
        decided @ (APPROVE | REJECT) => Input::Decide {
            step: Path::of(&command.step),
            approved: decided == APPROVE,
            by: command.by,
            reason: command.reason,
        },
        other => {
            let message = format!("action {other:?} is not allowed; allowed: {CANCEL}, {RETRY}, {APPROVE}, {REJECT}");
            return Err(Failure::invalid("unknown_action", message));
        }
    };
    let loaded = turn::load(context, &command.workflow_id).await?;
    match workflow::advance(&loaded.definition, &loaded.run, input) {
        Ok(advanced) => {
            turn::commit(event, context, &loaded.definition, Some(&loaded), advanced, Effects::default()).await
        }
        // It has ended, or goes on already.
        Err(refused) => Ok(turn::nothing(&command.workflow_id, refused)),
    }
}
