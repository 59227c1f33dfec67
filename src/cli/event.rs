//! `coafi event`: what happened to one event (`show`), and making one (`send`).

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bitt::{Progress, Story, Trail};
use crate::schema::Codec;

/// What happened to an event, step by step, from the audit records.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coafi event show main:3f2a9c
  coafi event show main:3f2a9c --output json | jq '.steps[].type'

Exit codes: 0 found, 1 no audit record has this id.")]
pub struct ShowArgs {
    /// CloudEvents id of the event.
    pub id: String,
}

/// Whether an audit record of the event was found.
///
/// # Errors
/// The topic cannot be read or decoded; `out` cannot be written to.
pub async fn show(
    args: &ShowArgs,
    trail: &Trail,
    codec: &Codec,
    json: bool,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<bool> {
    let bar = bar(json);
    let shown = bar.clone();
    let outcomes = trail
        .read(&args.id, codec, move |Progress { done, total }| {
            shown.set_length(total);
            shown.set_position(done);
        })
        .await;
    bar.finish_and_clear();
    let Some(story) = Story::of(outcomes?) else {
        if json {
            writeln!(out, "null")?;
        } else {
            writeln!(out, "no audit record of event {:?} (yet)", args.id)?;
        }
        return Ok(false);
    };
    if json {
        writeln!(out, "{}", serde_json::to_string(&story)?)?;
    } else {
        write!(out, "{}", table(&story))?;
    }
    Ok(true)
}

/// Draws on a terminal only.
fn bar(json: bool) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("reading audit records {bar:30} {pos}/{len}").expect("the template is a constant");
    ProgressBar::no_length().with_style(style)
}

fn table(story: &Story) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
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
        "event       {}\ntype        {}\nsource      {}\ncorrelation {}\noutcome     {}\n\n{table}\n",
        story.event_id,
        or_none(&story.event_type),
        or_none(&story.source),
        or_none(&story.correlation_id),
        serde_json::to_value(story.outcome).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
    )
}
