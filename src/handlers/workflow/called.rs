//! `workflow.called`: a run begins of which a step of another run waits for the end.

use super::requested::{Request, begin};
use super::turn;
use crate::dispatch::{Context, Failure, Success};
use crate::event::Event;
use crate::schema::payloads::WorkflowCalled;
use crate::workflow::{Caller, Path};

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let called: WorkflowCalled = context.services.codec.decode(event).await?;
    if called.group != context.fence.group {
        return Ok(turn::nothing(&called.workflow_id, format_args!("a run of group {:?} calls it", called.group)));
    }
    let caller = Caller {
        workflow: called.caller_workflow,
        workflow_id: called.caller_id,
        step: Path::of(&called.caller_step),
        attempt: called.caller_attempt.unsigned_abs(),
    };
    let (workflow, workflow_id, input) = (called.workflow, called.workflow_id, called.input);
    begin(event, context, &Request { workflow, workflow_id, input, caller: Some(caller) }).await
}
