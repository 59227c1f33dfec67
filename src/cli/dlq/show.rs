//! `coafi dlq show`.

use clap::Args;
use serde_json::{Value, json};

use super::super::output::cell;
use super::super::{Answer, Context, Exit, Failure};
use super::list::{as_json, states};
use crate::app;
use crate::dispatch::redaction::{Redaction, WITHHELD};
use crate::dlq::{Letter, LetterId, stretches_of};
use crate::event::Event;
use crate::schema::Codec;

/// How much of a value that cannot be decoded is shown.
const RAW_BYTES: usize = 256;

/// Show one dead letter or unprocessed event: what failed, its headers, its data, and what was done with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi dlq show coafi.git.dlq/3/42
  coafi dlq show coafi.git.dlq/3/42 --output json | jq .data
  coafi dlq show coafi.unprocessed/0/7

Exit codes: 0 shown, 1 there is no such record (any more), 2 the topic holds no dead letters, 3 Kafka or the schema registry
does not answer.")]
pub(in crate::cli) struct Show {
    /// As `list` names it: TOPIC/PARTITION/OFFSET.
    letter: LetterId,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (reader, codec) = (context.places().reader(), context.codec()?);
        if *self.letter.topic != *app::unprocessed_topic() {
            let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
            app::holds_dead_letters(&declarations, &self.letter.topic)?;
        }
        let count = reader.partitions(&self.letter.topic).await.map_err(anyhow::Error::new)?;
        let named = std::collections::BTreeSet::from([self.letter.clone()]);
        let wanted = crate::kafka::scan::Wanted {
            partitions: [self.letter.partition].into(),
            ..crate::kafka::scan::Wanted::all(&self.letter.topic)
        };
        let is_there = self.letter.partition < count && {
            let all = reader.resolve(wanted).await.map_err(anyhow::Error::new)?;
            all.iter().any(|all| (all.from.0..all.to.0).contains(&self.letter.offset))
        };
        let mut records =
            reader.read(&if is_there { stretches_of(&named) } else { Vec::new() }).map_err(anyhow::Error::new)?;
        let Some(record) = records.next().await.map_err(anyhow::Error::new)? else {
            let text = format!("there is no record {} (any more)", self.letter);
            return context.output().answer(&Answer { json: Value::Null, text, yes: false });
        };
        let letter = Letter::read(record);
        let states = states(&reader, &codec, &[self.letter.topic.to_string()].into()).await?;
        let mut json = as_json(&letter, &states.of(&letter));
        json["headers"] = headers(&letter);
        json["data"] = data(&letter, &codec, &context.settings().redaction).await;
        let text = text(&json);
        context.output().answer(&Answer { json, text, yes: true })
    }
}

fn headers(letter: &Letter) -> Value {
    let headers = letter.record.headers();
    let all = headers.iter().map(|(name, value)| {
        json!({"name": String::from_utf8_lossy(name), "value": value.map(|value| String::from_utf8_lossy(value).into_owned())})
    });
    all.collect()
}

/// The event's data as JSON, as far as it is told; what cannot be decoded, as its first bytes, and why.
async fn data(letter: &Letter, codec: &Codec, redaction: &Redaction) -> Value {
    let raw = letter.record.value().unwrap_or_default();
    let event = Event::parse(letter.record.clone());
    let why = match &event {
        Ok(event) => match codec.decode_json(event).await {
            Ok(mut data) => {
                if let Some(redactor) = redaction.of(event.event_type()) {
                    redactor.hide(&mut data);
                }
                return data;
            }
            Err(failure) => failure.to_string(),
        },
        Err(why) => why.to_string(),
    };
    if !redaction.shows(event.as_ref().ok()) {
        return json!({"undecodable": WITHHELD, "bytes": raw.len()});
    }
    let begin: String = raw.iter().take(RAW_BYTES).map(|byte| format!("{byte:02x}")).collect();
    json!({"undecodable": why, "bytes": raw.len(), "hex": begin})
}

fn text(json: &Value) -> String {
    let mut lines = Vec::new();
    let members = json.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(name, value)| !value.is_null() && !matches!(&***name, "headers" | "data")) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.push(format!("{name:<15} {}", cell(&text)));
    }
    lines.push("headers".to_owned());
    for header in json["headers"].as_array().into_iter().flatten() {
        let text = |member: &str| cell(header[member].as_str().unwrap_or("(null)"));
        lines.push(format!("  {}: {}", text("name"), text("value")));
    }
    lines.push("data".to_owned());
    let data = serde_json::to_string_pretty(&json["data"]).unwrap_or_default();
    lines.extend(data.lines().map(|line| format!("  {line}")));
    lines.join("\n")
}
