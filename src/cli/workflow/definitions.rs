//! `coafi workflow definitions`.

use clap::Args;
use serde_json::json;

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{described, remark_if_shipped};
use crate::app;
use crate::workflow::{Definition, Definitions};

/// List what is defined: each workflow, the events that start it, and what it needs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi workflow definitions
  coafi workflow definitions --output json | jq -r '.workflows[].workflow'

Exit codes: 0 listed, 2 a definition or the configuration is wrong: see `coafi workflow lint`.")]
pub(in crate::cli) struct Defined {}

impl Defined {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        remark_if_shipped(context);
        context.output().answer(&answer(&app::workflows(context.settings())?))
    }
}

fn answer(definitions: &Definitions) -> Answer {
    let rows: Vec<_> = definitions.all().map(row).collect();
    let last = format!("{} defined", rows.len());
    let text = table(["workflow", "version", "steps", "on", "dependencies", "description"], rows, &last);
    let shown: Vec<_> = definitions.all().map(described).collect();
    Answer { json: json!({"workflows": shown}), text, yes: true }
}

fn row(definition: &Definition) -> [String; 6] {
    let triggers: Vec<&str> = definition.triggers.iter().map(|trigger| trigger.event_type.as_str()).collect();
    [
        definition.name.clone(),
        definition.version.to_string(),
        definition.steps.all().len().to_string(),
        if triggers.is_empty() { "-".to_owned() } else { triggers.join(", ") },
        definition.dependencies.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        definition.description.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_is_listed_with_what_starts_it() {
        let texts = [
            "name: Two\nversion: 3\ninput: {}\ndescription: Does both.\non: [{type: a.b}, {type: c.d}]\n\
             steps: [{id: both, parallel: [{id: one, wait: 1s}, {id: other, wait: 1s}]}]",
            "name: One\nversion: 1\ninput: {}\ndependencies: [notify:ops]\nsteps: [{id: one, wait: 1s}]",
        ];
        let parsed = texts.map(|text| ("w.yaml".to_owned(), Definition::parse("w.yaml", text, None).unwrap()));
        let answer = answer(&Definitions::new(parsed.into()).unwrap());
        expect![[r#"
            workflow  version  steps  on        dependencies                           description
            One       1        1      -         database, notify:ops, schema-registry
            Two       3        3      a.b, c.d  database, schema-registry              Does both.
            2 defined"#]]
        .assert_eq(&answer.text);
        let dependencies = json!(["database", "notify:ops", "schema-registry"]);
        assert_eq!(answer.json["workflows"][0]["dependencies"], dependencies);
        assert_eq!(answer.json["workflows"][1]["on"], json!(["a.b", "c.d"]));
    }
}
