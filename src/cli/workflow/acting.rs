//! `coafi workflow cancel`, `retry`, `approve` and `reject`.

use clap::Args;
use serde_json::json;

use super::super::dlq::{Acting, actor};
use super::super::{Answer, Context, Exit, Failure};
use super::{open, publish, stored};
use crate::dlq::Actor;
use crate::handlers::workflow::{APPROVE, CANCEL, REJECT, RETRY};
use crate::schema::payloads::WorkflowCommand;
use crate::store::{CancelAsked, Requests, RunRecord};
use crate::workflow::{Kind, Run, RunStatus, StepStatus};

/// End a run: nothing of it is begun any more. What it has done stays, but for steps that say how they are undone. While it is
/// being undone: not to wait any longer for a server that the undoing needs and that cannot be reached.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow cancel wf-1b9d --reason 'a wrong input'

Exit codes: 0 a consumer will do so, 1 there is no such run or it has ended, 3 the database, Kafka or the schema registry does not
answer.")]
pub(in crate::cli) struct Cancel {
    /// The run's id.
    run: String,
    #[command(flatten)]
    acting: Acting,
}

/// Go on with a run that failed or was cancelled: what was not done is tried again, with the definition that it began with.
/// A run of which steps were undone is over.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow retry wf-1b9d --reason 'the entry is there now'

Exit codes: 0 a consumer will do so, 1 there is no such run, it has not failed or it was undone, 3 the
database, Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Retry {
    /// The run's id.
    run: String,
    #[command(flatten)]
    acting: Acting,
}

/// Approve what a run waits for at a step of kind `approval`: it goes on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow approve wf-1b9d --reason 'looked at it with Grace'
  coafi workflow approve wf-1b9d --step 'each[2]/release'

Exit codes: 0 a consumer will do so, 1 there is no such run or nothing is to be approved, 3 the database, Kafka or the schema
registry does not answer.")]
pub(in crate::cli) struct Approve {
    #[command(flatten)]
    deciding: Deciding,
}

/// Reject what a run waits for at a step of kind `approval`: the run fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow reject wf-1b9d --reason 'the weight is wrong'

Exit codes: 0 a consumer will do so, 1 there is no such run or nothing is to be approved, 3 the database, Kafka or the schema
registry does not answer.")]
pub(in crate::cli) struct Reject {
    #[command(flatten)]
    deciding: Deciding,
}

#[derive(Debug, Args)]
struct Deciding {
    /// The run's id.
    run: String,
    /// The step, as `show` names it; needed where several wait.
    #[arg(long)]
    step: Option<String>,
    #[command(flatten)]
    acting: Acting,
}

impl Approve {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.deciding.decide(context, APPROVE).await
    }
}

impl Reject {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.deciding.decide(context, REJECT).await
    }
}

impl Deciding {
    async fn decide(self, context: &Context, action: &str) -> Result<Exit, Failure> {
        let store = open(context).await?;
        stored(context, &*store, &self.run).await?;
        let step = self.awaited(context, &*store).await?;
        send(context, &self.run, &self.acting, action, step).await
    }

    /// The step that is decided.
    async fn awaited(&self, context: &Context, store: &dyn Requests) -> Result<String, Failure> {
        let group = &context.settings().kafka.group_id;
        let steps = store.workflow_steps(group, &self.run).await.map_err(anyhow::Error::new)?;
        let waits =
            steps.into_iter().filter(|step| step.kind == Kind::APPROVAL && step.status == StepStatus::Running.name());
        let mut waiting: Vec<String> = waits.map(|step| step.step).collect();
        let all = waiting.join(", ");
        if let Some(step) = &self.step {
            waiting.retain(|waiting| waiting == step);
        }
        match (waiting.len(), all.is_empty()) {
            (1, _) => Ok(waiting.swap_remove(0)),
            (_, true) => Err(Failure::failed(format!("run {} waits for no approval", self.run))),
            _ => {
                Err(Failure::failed(format!("run {} waits for approval at: {all}", self.run))
                    .next("name one with --step"))
            }
        }
    }
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let run = allowed(context, &*store, &self.run, CANCEL, &[RunStatus::Running, RunStatus::Compensating]).await?;
        let (action, event) = match run.status == RunStatus::Running.name() {
            true => (CANCEL, Some(publish_command(context, &self.run, &self.acting, CANCEL, String::new()).await?)),
            false => ("no longer waiting for the undoing", None),
        };
        // The command comes in order. A step that waits for what cannot be reached finds this, and waits no longer.
        let Actor { by, reason } = actor(&self.acting);
        let asked = CancelAsked { by, reason: reason.unwrap_or_default() };
        let asked = store.ask_to_cancel(&context.settings().kafka.group_id, &self.run, &asked).await;
        asked.map_err(anyhow::Error::new)?;
        said(context, &self.run, action, event)
    }
}

impl Retry {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (store, run) = (open(context).await?, &self.run);
        let stored = allowed(context, &*store, run, RETRY, &[RunStatus::Failed, RunStatus::Cancelled]).await?;
        if serde_json::from_str::<Run>(&stored.state).is_ok_and(|run| run.is_undone()) {
            let undone = format!("what run {run} had done is undone, as far as it could be: it is over");
            return Err(Failure::failed(undone).next("start another with `coafi workflow start`"));
        }
        send(context, run, &self.acting, RETRY, String::new()).await
    }
}

/// The consumer decides; what it would refuse by now is said at once.
async fn allowed(
    context: &Context,
    store: &dyn Requests,
    run: &str,
    action: &str,
    allowed: &[RunStatus],
) -> Result<RunRecord, Failure> {
    let stored = stored(context, store, run).await?.run;
    let status = &stored.status;
    if allowed.iter().all(|allowed| allowed.name() != status) {
        let allowed = allowed.iter().map(|allowed| allowed.name()).collect::<Vec<_>>().join(", ");
        return Err(Failure::failed(format!("run {run} is {status}; {action} takes one that is {allowed}")));
    }
    Ok(stored)
}

async fn send(context: &Context, run: &str, acting: &Acting, action: &str, step: String) -> Result<Exit, Failure> {
    let sent = publish_command(context, run, acting, action, step).await?;
    said(context, run, action, Some(sent))
}

/// Gives the event's id.
async fn publish_command(
    context: &Context,
    run: &str,
    acting: &Acting,
    action: &str,
    step: String,
) -> Result<String, Failure> {
    let actor = actor(acting);
    let command = WorkflowCommand {
        workflow_id: run.to_owned(),
        action: action.to_owned(),
        step,
        by: actor.by,
        reason: actor.reason.unwrap_or_default(),
    };
    let id = format!("{run}/{action}/{}", uuid::Uuid::new_v4().simple());
    Ok(publish(context, id, run, &command).await?.id)
}

fn said(context: &Context, run: &str, action: &str, event: Option<String>) -> Result<Exit, Failure> {
    let text = format!("{action} of {run} is asked for; see `coafi workflow show {run}`");
    context.output().answer(&Answer { json: json!({"workflowId": run, "eventId": event}), text, yes: true })
}
