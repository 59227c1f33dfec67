//! `coafi event`: what happened to one event (`show`), and making one (`send`).

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};

use super::Answer;
use crate::bitt::{Progress, Story, Trail};
use crate::schema::Codec;

/// What happened to an event, step by step, from the audit records.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi event show main@0af7651916cd43dd8448eb211c80319cb7ad6b71
  coafi event show main@0af7651916cd43dd8448eb211c80319cb7ad6b71 --output json | jq '.steps[].type'

Exit codes: 0 found, 1 no audit record has this id.")]
pub(crate) struct Show {
    /// CloudEvents id of the event.
    pub id: String,
}

impl Show {
    /// `progress` hears how far reading has come. The answer is no if no audit record has the id.
    ///
    /// # Errors
    /// The topic cannot be read or decoded ([`crate::bitt::TrailError`]).
    pub(crate) async fn run(
        &self,
        trail: &Trail,
        codec: &Codec,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> anyhow::Result<Answer> {
        let outcomes = trail.read(&self.id, codec, progress).await?;
        Ok(match Story::of(outcomes) {
            Some(story) => Answer { json: serde_json::to_value(&story)?, text: table(&story), yes: true },
            None => Answer {
                json: serde_json::Value::Null,
                text: format!("no audit record of event {:?} (yet)", self.id),
                yes: false,
            },
        })
    }
}

fn table(story: &Story) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["time", "attempt", "record", "step", "detail"]);
    for step in &story.steps {
        let detail = if step.detail.as_object().is_some_and(serde_json::Map::is_empty) {
            String::new()
        } else {
            step.detail.to_string()
        };
        table.add_row([step.at.clone(), step.attempt.to_string(), step.place.clone(), step.kind.clone(), detail]);
    }
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "event       {}\ntype        {}\nsource      {}\ncorrelation {}\noutcome     {}\n\n{table}",
        story.event_id,
        or_none(&story.event_type),
        or_none(&story.source),
        or_none(&story.correlation_id),
        serde_json::to_value(story.outcome).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
    )
}
