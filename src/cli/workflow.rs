//! `coafi workflow`.

mod acting;
mod definitions;
mod draw;
mod lint;
mod list;
mod show;
mod start;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, Exit, Failure};
use crate::connectors::publish_event::{EventToSend, Sent, prepare, send};
use crate::handlers::workflow::events;
use crate::runtime::unix_ms;
use crate::schema::Payload;
use crate::store::{self, Requests, StoredRun};
use crate::workflow::{Definition, Definitions};

use std::sync::Arc;

/// Workflows: what is defined, what runs, and how to step in.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi workflow lint
  coafi workflow draw ReportWorkflow
  coafi workflow start ReportWorkflow --input '{\"name\": \"weekly\", \"entries\": []}'
  coafi workflow list --status failed
  coafi workflow show wf-1b9d
  coafi workflow retry wf-1b9d --reason 'the registry is back'

`coafi consume` runs them; docs/workflows.md says how they are written.")]
pub(super) enum Workflows {
    Lint(lint::Lint),
    Definitions(definitions::Defined),
    Draw(draw::Draw),
    List(list::List),
    Show(show::Show),
    Start(start::Start),
    Cancel(acting::Cancel),
    Retry(acting::Retry),
    Approve(acting::Approve),
    Reject(acting::Reject),
}

impl Workflows {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Lint(command) => command.run(context),
            Self::Definitions(command) => command.run(context),
            Self::Draw(command) => command.run(context),
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Start(command) => command.run(context).await,
            Self::Cancel(command) => command.run(context).await,
            Self::Retry(command) => command.run(context).await,
            Self::Approve(command) => command.run(context).await,
            Self::Reject(command) => command.run(context).await,
        }
    }
}

/// Who has no definitions of their own is to know whose these are.
fn remark_if_shipped(context: &Context) {
    let directory = &context.settings().workflows_dir;
    if !directory.exists() {
        let directory = directory.display();
        let remark = format!("there is no {directory} here: these are the workflows that coafi was built with");
        context.output().remark(&remark);
    }
}

fn named<'a>(definitions: &'a Definitions, name: &str) -> Result<&'a Definition, Failure> {
    definitions.get(name).map(|definition| &**definition).ok_or_else(|| {
        Failure::usage(format!("there is no workflow {name:?}; defined: {}", definitions.names()))
            .next("name one of these, or add a file to workflows_dir")
    })
}

fn described(definition: &Definition) -> Value {
    let triggers: Vec<&str> = definition.triggers.iter().map(|trigger| trigger.event_type.as_str()).collect();
    json!({
        "workflow": definition.name,
        "version": definition.version,
        "digest": definition.digest,
        "description": definition.description,
        "steps": definition.steps.all().len(),
        "on": triggers,
        "dependencies": definition.dependencies,
    })
}

async fn open(context: &Context) -> Result<Arc<dyn Requests>, Failure> {
    let opened = store::open(&context.places().database, &store::Settings::default()).await;
    Ok(opened.map_err(anyhow::Error::new)?)
}

/// The run of this id of the configured group.
async fn stored(context: &Context, store: &dyn Requests, id: &str) -> Result<StoredRun, Failure> {
    let group = &context.settings().kafka.group_id;
    let found = store.workflow_run(group, id).await.map_err(anyhow::Error::new)?;
    found.ok_or_else(|| {
        Failure::failed(format!("group {group} has no run {id:?}"))
            .next("`coafi workflow list` shows those that there are")
    })
}

/// Publishes an event about a run.
async fn publish<T: Payload>(context: &Context, id: String, workflow_id: &str, payload: &T) -> Result<Sent, Failure> {
    let event = EventToSend {
        event_type: T::EVENT_TYPE.to_owned(),
        data: serde_json::to_value(payload).map_err(|error| Failure::failed("the event is no JSON").because(error))?,
        id: Some(id),
        source: Some("/coafi/cli/workflow".to_owned()),
        key: Some(workflow_id.to_owned()),
        topic: events::TOPIC.to_owned(),
        base: std::path::PathBuf::new(),
    };
    let record = prepare(&context.codec()?, event, unix_ms()).await?;
    Ok(send(&context.places().client_config(), &record).await?)
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

fn as_json(stored: &StoredRun) -> Value {
    json!({
        "workflowId": stored.run.workflow_id,
        "workflow": stored.run.workflow,
        "version": stored.run.version,
        "status": stored.run.status,
        "createdAt": time(stored.created_ms),
        "updatedAt": time(stored.updated_ms),
        "correlationId": stored.run.correlation_id,
    })
}
