//! `coafi workflow draw`.

use clap::Args;
use serde_json::json;

use super::super::{Answer, Context, Exit, Failure};
use super::named;
use crate::app;
use crate::workflow::mermaid;

/// Draw a definition (Mermaid): its steps, and which comes after which. Of a run: `coafi workflow show --mermaid`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow draw ReportWorkflow > report.mmd
  coafi workflow draw ReportWorkflow --output json | jq -r .mermaid

Exit codes: 0 drawn, 2 there is no such workflow, or a definition or the configuration is wrong.")]
pub(in crate::cli) struct Draw {
    /// The workflow's name; `coafi workflow definitions` lists them.
    workflow: String,
}

impl Draw {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let definitions = app::workflows(context.settings())?;
        let definition = named(&definitions, &self.workflow)?;
        let text = mermaid(definition, None);
        let json = json!({"workflow": definition.name, "version": definition.version, "mermaid": text});
        context.output().answer(&Answer { json, text, yes: true })
    }
}
