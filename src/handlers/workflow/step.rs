//! `workflow.step`: an attempt of a step.

use std::time::Duration;

use super::perform::perform;
use super::turn::{self, Effects, Loaded};
use super::command;
use crate::dispatch::{Context, Failure, Success, once};
use crate::engine::Class;
use crate::event::Event;
use crate::schema::payloads::WorkflowStep;
use crate::workflow::{self, Fault, Input, Path};

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let due: WorkflowStep = context.services.codec.decode(event).await?;
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let loaded = turn::load(context, &due.workflow_id).await?;
    let (step, attempt) = (Path::of(&due.step), due.attempt.unsigned_abs());
    // Before anything is done: what is not awaited must have no effect.
    if !loaded.run.awaits(&step, attempt) {
        let why = format_args!("attempt {attempt} of step {step} is not awaited; the run is {}", loaded.stored.run.status);
        return Ok(turn::nothing(&due.workflow_id, why));
    }
    let timeout = loaded.definition.step_at(&step).and_then(|step| step.timeout);
    let performing = perform(context, event, &loaded.definition, &loaded.run, &step);
    let performed = match timeout {
        Some(timeout) => match tokio::time::timeout(timeout, performing).await {
            Ok(performed) => performed,
            Err(_) => took_too_long(context, attempt, timeout).await,
        },
        None => performing.await,
    };
    let performed = match performed {
        Err(failure) if matches!(failure.class, Class::Systemic(_)) => {
            return give_up(event, context, &loaded, (step, attempt), failure).await;
        }
        performed => performed?,
    };
    let (result, effects) = match performed {
        Ok((output, effects)) => (Ok(output), effects),
        Err(fault) => (Err(fault), Effects::default()),
    };
    let advanced = workflow::advance(&loaded.definition, &loaded.run, Input::Finished { step, attempt, result });
    let advanced = advanced.map_err(|refused| Failure::permanent("step_refused", refused))?;
    turn::commit(event, context, &loaded.definition, Some(&loaded), advanced, effects).await
}

/// The step's time-out is for a server that is there.
async fn took_too_long<T>(context: &Context<'_>, attempt: u32, timeout: Duration) -> Result<Result<T, Fault>, Failure> {
    match context.hangs(timeout).await {
        Some(away) => Err(away),
        None => {
            let message = format!("attempt {attempt} took longer than {} ms", timeout.as_millis());
            Ok(Err(Fault::new("timeout", message)))
        }
    }
}

/// What the attempt needs is away: as far as the run goes, it has had no effect. The event waits; unless somebody wants the run
/// to end, whose command waits behind it.
async fn give_up(
    event: &Event,
    context: &Context<'_>,
    loaded: &Loaded,
    (step, attempt): (Path, u32),
    failure: Failure,
) -> Result<Success, Failure> {
    let Some(asked) = context.services.store.cancel_asked(&context.fence.group, &loaded.run.id).await? else {
        return Err(failure);
    };
    let said = if asked.reason.is_empty() { command::NO_REASON } else { &asked.reason };
    let reason = format!("{said}; it waited: {}", failure.message);
    let input = match step.is_undo() {
        true => Input::GiveUp { step, attempt, fault: Fault::new("given_up", format_args!("by {}: {reason}", asked.by)) },
        false => Input::Cancel { fault: command::cancelled(&asked.by, &reason) },
    };
    let advanced = workflow::advance(&loaded.definition, &loaded.run, input);
    let advanced = advanced.map_err(|refused| Failure::permanent("step_refused", refused))?;
    turn::commit(event, context, &loaded.definition, Some(loaded), advanced, Effects::default()).await
}
