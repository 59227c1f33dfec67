//! `coafi workflow start`.

use clap::Args;
use serde_json::{Value, json};

use super::super::{Answer, Context, Exit, Failure};
use super::{named, publish};
use crate::app;
use crate::schema::payloads::WorkflowRequested;

/// Ask for a run of a workflow; a consumer starts it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow start ReportWorkflow --input '{\"name\": \"weekly\", \"entries\": []}'
  coafi workflow start ReportWorkflow --input @input.json --id weekly-2026-48 --output json | jq -r .workflowId

Exit codes: 0 asked for, 2 there is no such workflow or it does not take the input, 3 Kafka or the schema registry does not
answer.")]
pub(in crate::cli) struct Start {
    /// The workflow's name.
    workflow: String,
    /// Its input as JSON: @FILE, @- for standard input, or the text itself.
    #[arg(long, value_name = "@FILE|@-|JSON", default_value = "{}")]
    input: String,
    /// The run's id; by default a random one. Asking twice with the same id starts one run.
    #[arg(long)]
    id: Option<String>,
}

impl Start {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let definitions = app::workflows(context.settings())?;
        let definition = named(&definitions, &self.workflow)?;
        let input: Value = super::super::send::read_json("--input", &self.input)?;
        let errors = definition.input_errors(&input);
        if !errors.is_empty() {
            return Err(Failure::usage(format!("{} does not take this input: {}", self.workflow, errors.join("; "))));
        }
        let workflow_id = self.id.unwrap_or_else(|| format!("wf-{}", uuid::Uuid::new_v4().simple()));
        let requested = WorkflowRequested {
            workflow: self.workflow.clone(),
            workflow_id: workflow_id.clone(),
            input: input.to_string(),
            utids: Vec::new(),
        };
        publish(context, workflow_id.clone(), &workflow_id, &requested).await?;
        let text = format!("{} is asked for as {workflow_id}; see `coafi workflow show {workflow_id}`", self.workflow);
        let json = json!({"workflow": self.workflow, "workflowId": workflow_id});
        context.output().answer(&Answer { json, text, yes: true })
    }
}
