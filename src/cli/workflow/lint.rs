//! `coafi workflow lint`.

use clap::Args;
use serde_json::json;

use super::super::{Answer, Context, Exit, Failure};
use super::{described, remark_if_shipped};
use crate::app;

/// Check the definitions of workflows: every error, with its file and line.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow lint
  coafi workflow lint --output json | jq -r '.errors[]'

Exit codes: 0 nothing found, 1 errors, 2 the configuration or a topic's declaration is wrong.")]
pub(in crate::cli) struct Lint {}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings();
        remark_if_shipped(context);
        let (definitions, errors) = match app::check_workflows(settings)? {
            Ok(definitions) => (definitions, Vec::new()),
            Err(errors) => (crate::workflow::Definitions::default(), errors),
        };
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let shown: Vec<_> = definitions.all().map(described).collect();
        let mut lines = errors.clone();
        match errors.len() {
            0 => lines.push(format!("{} workflows: {}", shown.len(), definitions.names())),
            count => lines.push(format!("{count} errors")),
        }
        let yes = errors.is_empty();
        let json = json!({"workflows": shown, "errors": errors});
        context.output().answer(&Answer { json, text: lines.join("\n"), yes })
    }
}
