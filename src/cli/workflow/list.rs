//! `coafi workflow list`.

use clap::Args;
use serde_json::json;

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{as_json, open, time};
use crate::store::{RunFilter, StoredRun};
use crate::workflow::RunStatus;

/// List runs of workflows, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow list
  coafi workflow list --status failed --workflow ReportWorkflow
  coafi workflow list --limit 1000 --output json | jq -r '.runs[].workflowId'

Exit codes: 0 listed, 2 the configuration is wrong, 3 the database does not answer.")]
pub(in crate::cli) struct List {
    /// Only runs of this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only runs that are: running, completed, failed, cancelled.
    #[arg(long, value_parser = RunStatus::ALL.map(RunStatus::name))]
    status: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let filter = RunFilter { workflow: self.workflow, status: self.status };
        let group = &context.settings().kafka.group_id;
        let runs = store.workflow_runs(group, &filter, self.limit).await.map_err(anyhow::Error::new)?;
        let rows = runs.iter().map(row).collect();
        let json = json!({"runs": runs.iter().map(as_json).collect::<Vec<_>>()});
        let last = match runs.len() {
            0 => format!("group {group} has no such run"),
            count => format!("{count} listed"),
        };
        let text = table(["run", "workflow", "version", "status", "started", "changed"], rows, &last);
        context.output().answer(&Answer { json, text, yes: true })
    }
}

fn row(stored: &StoredRun) -> [String; 6] {
    let run = &stored.run;
    [
        run.workflow_id.clone(),
        run.workflow.clone(),
        run.version.to_string(),
        run.status.clone(),
        time(stored.created_ms),
        time(stored.updated_ms),
    ]
}
