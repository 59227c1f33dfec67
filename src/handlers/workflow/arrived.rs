//! `workflow.arrived`: what a step waits for is there.

use serde_json::Value;

use super::turn::{self, Effects};
use crate::dispatch::{Context, Failure, Success, once};
use crate::event::Event;
use crate::schema::payloads::WorkflowArrived;
use crate::workflow::{self, Fault, Input, Kind, Path};

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let arrived: WorkflowArrived = context.services.codec.decode(event).await?;
    if arrived.group != context.fence.group {
        return Ok(turn::nothing(&arrived.workflow_id, format_args!("the run is of group {:?}", arrived.group)));
    }
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let loaded = turn::load(context, &arrived.workflow_id).await?;
    let (step, attempt) = (Path::of(&arrived.step), arrived.attempt.unsigned_abs());
    let waits = loaded
        .definition
        .step_at(&step)
        .is_some_and(|step| matches!(step.kind, Kind::WaitFor(_) | Kind::Call(_)));
    if !waits || !loaded.run.awaits(&step, attempt) {
        // Another event was first, or its time had passed.
        let why = format_args!("nothing is awaited at step {step} any more; the run is {}", loaded.stored.run.status);
        return Ok(turn::nothing(&arrived.workflow_id, why));
    }
    let result = if arrived.code.is_empty() {
        let output: Value = serde_json::from_str(&arrived.output)
            .map_err(|error| Failure::invalid("invalid_output", format!("output is no JSON: {error}")))?;
        Ok(output)
    } else {
        Err(Fault::new(&arrived.code, &arrived.message))
    };
    let advanced = workflow::advance(&loaded.definition, &loaded.run, Input::Finished { step, attempt, result });
    let advanced = advanced.map_err(|refused| Failure::permanent("step_refused", refused))?;
    turn::commit(event, context, &loaded.definition, Some(&loaded), advanced, Effects::default()).await
}
