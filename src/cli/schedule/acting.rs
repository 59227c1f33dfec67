//! `coafi schedule trigger`, `pause` and `resume`.

use clap::Args;
use serde_json::{Value, json};

use super::super::dlq::{Acting, actor};
use super::super::{Answer, Context, Exit, Failure};
use super::{local, named};
use crate::app;
use crate::connectors::schedule::Desk;
use crate::schedule::Schedule;

/// Fire a schedule now, whether it is due or not, paused or not.
///
/// The event has an id of its own, so that it is no due time's. The connector need not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule trigger daily-report
  coafi schedule trigger daily-report --reason 'after the correction' --output json | jq -r .eventId

Exit codes: 0 fired, 1 a topic does not exist, 2 there is no such schedule, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Trigger {
    /// The schedule.
    name: String,
    #[command(flatten)]
    acting: Acting,
}

/// Stop firing a schedule until it is resumed. What is due meanwhile is skipped, and said to be.
///
/// Once the command has returned nothing more is fired, wherever the connector runs. It lasts, whatever is restarted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule pause daily-report --reason 'the report is being changed'

Exit codes: 0 paused, 1 a topic does not exist, 2 there is no such schedule, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Pause {
    /// The schedule.
    name: String,
    #[command(flatten)]
    acting: Acting,
}

/// Fire a paused schedule again, from now on. `backfill` brings back what was skipped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule resume daily-report

Exit codes: 0 it is not paused any more, 1 a topic does not exist, 2 there is no such schedule, 3 Kafka or the schema registry
does not answer.")]
pub(in crate::cli) struct Resume {
    /// The schedule.
    name: String,
    #[command(flatten)]
    acting: Acting,
}

/// Where this person works, and why.
pub(super) fn desk(context: &Context, acting: &Acting) -> Result<(Desk, Option<String>), Failure> {
    let actor = actor(acting);
    let desk = app::schedule_desk(context.settings(), &context.places(), context.codec()?, &actor.by);
    Ok((desk, actor.reason))
}

fn done(context: &Context, schedule: &Schedule, mut json: Value, text: String) -> Result<Exit, Failure> {
    json["schedule"] = schedule.name.as_str().into();
    context.output().answer(&Answer { json, text, yes: true })
}

impl Trigger {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let schedule = named(context.settings(), &self.name)?;
        let (desk, reason) = desk(context, &self.acting)?;
        let fire = desk.trigger(schedule, reason.as_deref()).await.map_err(anyhow::Error::new)?;
        let (source, id) = (schedule.name.source(), fire.id());
        let text = format!("fired {} as {} {id}", schedule.event_type, self.name);
        done(context, schedule, json!({"eventId": id, "source": source, "type": schedule.event_type}), text)
    }
}

impl Pause {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let schedule = named(context.settings(), &self.name)?;
        let (desk, reason) = desk(context, &self.acting)?;
        let (pause, is_new) = desk.pause(schedule, reason.as_deref()).await.map_err(anyhow::Error::new)?;
        let text = match is_new {
            true => format!("{} is paused", self.name),
            false => format!("{} has been paused by {} since {}", self.name, pause.by, local(schedule, pause.at)),
        };
        done(context, schedule, json!({"paused": pause, "new": is_new}), text)
    }
}

impl Resume {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let schedule = named(context.settings(), &self.name)?;
        let (desk, reason) = desk(context, &self.acting)?;
        let pause = desk.resume(schedule, reason.as_deref()).await.map_err(anyhow::Error::new)?;
        let text = match &pause {
            Some(pause) => format!("{} fires again; it was paused at {}", self.name, local(schedule, pause.at)),
            None => format!("{} was not paused", self.name),
        };
        done(context, schedule, json!({"ended": pause}), text)
    }
}
