//! `coafi workflow show`.

use clap::Args;
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{as_json, open, stored, time};
use crate::store::StoredStep;
use crate::workflow::{Definition, Run, mermaid};

/// Show one run: its attempts of steps, what it gave, and why it failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow show wf-1b9d
  coafi workflow show wf-1b9d --output json | jq .state.steps
  coafi workflow show wf-1b9d --mermaid > run.mmd

Exit codes: 0 shown, 1 there is no such run, 2 the configuration is wrong, 3 the database does not answer.")]
pub(in crate::cli) struct Show {
    /// The run's id.
    run: String,
    /// As a drawing (Mermaid) of the definition that it began with, and of how far it is.
    #[arg(long)]
    mermaid: bool,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let stored = stored(context, &*store, &self.run).await?;
        let group = &context.settings().kafka.group_id;
        let steps = store.workflow_steps(group, &self.run).await.map_err(anyhow::Error::new)?;
        let run: Run = serde_json::from_str(&stored.run.state)
            .map_err(|error| Failure::failed(format!("the state of run {} cannot be read", self.run)).because(error))?;
        let mut json = as_json(&stored);
        if self.mermaid {
            let definition = Definition::parse(&stored.run.workflow, &stored.run.definition, None);
            let definition = definition.map_err(|error| Failure::failed(error.to_string()))?;
            let text = mermaid(&definition, Some(&run));
            json["mermaid"] = text.as_str().into();
            return context.output().answer(&Answer { json, text, yes: true });
        }
        json["attempts"] = steps.iter().map(attempt_as_json).collect();
        json["state"] = serde_json::to_value(&run).unwrap_or_default();
        let rows = steps.iter().map(row).collect();
        let last = last_line(&run);
        let text = format!(
            "{} version {} of group {group}\n\n{}",
            run.workflow,
            run.version,
            table(["step", "attempt", "kind", "status", "started", "ended"], rows, &last)
        );
        context.output().answer(&Answer { json, text, yes: true })
    }
}

fn last_line(run: &Run) -> String {
    let why = run.fault.as_ref().map(|fault| {
        let step = fault.step.as_ref().map(|step| format!(" at {step}")).unwrap_or_default();
        format!("{step}: {}: {}", fault.code, fault.message)
    });
    let gave = (!run.output.is_null()).then(|| format!(": {}", run.output));
    format!("\n{}{}", run.status.name(), why.or(gave).unwrap_or_default())
}

fn row(step: &StoredStep) -> [String; 6] {
    let ended = step.ended_ms.map_or_else(|| "-".to_owned(), time);
    let status = match step.fault.as_ref().and_then(|fault| serde_json::from_str::<Value>(fault).ok()) {
        Some(fault) => format!("{}: {}", step.status, fault["code"].as_str().unwrap_or_default()),
        None => step.status.clone(),
    };
    [step.step.clone(), step.attempt.to_string(), step.kind.clone(), status, time(step.started_ms), ended]
}

fn attempt_as_json(step: &StoredStep) -> Value {
    json!({
        "step": step.step,
        "attempt": step.attempt,
        "kind": step.kind,
        "status": step.status,
        "fault": step.fault.as_ref().and_then(|fault| serde_json::from_str::<Value>(fault).ok()),
        "startedAt": time(step.started_ms),
        "endedAt": step.ended_ms.map(time),
    })
}
