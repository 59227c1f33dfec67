//! `coafi notify send`.

use clap::Args;
use serde_json::json;

use super::super::send::read_json;
use super::super::{Answer, Context, Exit, Failure};
use super::check_channel;
use crate::app;
use crate::connectors::publish_event::{EventToSend, prepare, send};
use crate::handlers::notification::events;
use crate::notify::Severity;
use crate::runtime::unix_ms;
use crate::schema::Payload as _;
use crate::schema::payloads::NotificationRequested;

/// Say something; a consumer decides by the rules who is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi notify send --severity critical --title 'The press stands still' --text 'Since 7:40.' --dedup press-3
  coafi notify send --severity critical --title 'The press runs again' --dedup press-3 --resolved
  coafi notify send --title 'Wing 7' --template late --data '{\"part\": \"wing-7\"}' --channel ops-chat --channel mail

Exit codes: 0 published, 2 the command line is wrong, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Send {
    /// One line.
    #[arg(long, value_parser = title)]
    title: String,
    #[arg(long, default_value = "")]
    text: String,
    /// Makes the text of the data: a file of notifications.templates_dir, without its .txt.
    #[arg(long, value_name = "NAME", conflicts_with = "text")]
    template: Option<String>,
    /// A JSON object: @FILE, @- for standard input, or the text itself.
    #[arg(long, value_name = "@FILE|@-|JSON")]
    data: Option<String>,
    #[arg(long, default_value = "info", value_parser = Severity::ALL.map(Severity::name))]
    severity: String,
    /// What it is about.
    #[arg(long, default_value = "/coafi/cli/notify")]
    source: String,
    /// Equal ones are said once within a window.
    #[arg(long, value_name = "KEY")]
    dedup: Option<String>,
    /// Those of one key that come soon after each other are one message.
    #[arg(long, value_name = "KEY")]
    group: Option<String>,
    /// A channel, as often as there are any; else the rules decide.
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// What was said under this --dedup is over.
    #[arg(long, requires = "dedup")]
    resolved: bool,
    /// Where there is more to see.
    #[arg(long, default_value = "")]
    url: String,
    /// The event's id; by default a random one. Two of one id are one.
    #[arg(long)]
    id: Option<String>,
}

fn title(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("a notification has a title; allowed: one line") } else { Ok(text.to_owned()) }
}

impl Send {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let notifier = app::notifier(context.settings())
            .map_err(|error| Failure::usage("channels cannot be used").because(error))?;
        for channel in &self.channels {
            check_channel(&notifier, channel)?;
        }
        let data = self.data.as_deref().map(|data| read_json("--data", data)).transpose()?;
        if data.as_ref().is_some_and(|data| !data.is_object()) {
            return Err(Failure::usage("--data is no JSON object"));
        }
        let requested = NotificationRequested {
            title: self.title,
            text: self.text,
            template: self.template.unwrap_or_default(),
            data: data.map(|data| data.to_string()).unwrap_or_default(),
            severity: self.severity,
            source: self.source.clone(),
            dedup_key: self.dedup.unwrap_or_default(),
            group_key: self.group.unwrap_or_default(),
            channels: self.channels,
            resolved: self.resolved,
            url: self.url,
            utids: Vec::new(),
        };
        let id = self.id.unwrap_or_else(|| format!("n-{}", uuid::Uuid::new_v4()));
        let data = serde_json::to_value(&requested);
        let event = EventToSend {
            event_type: NotificationRequested::EVENT_TYPE.to_owned(),
            data: data.map_err(|error| Failure::failed("the event is no JSON").because(error))?,
            id: Some(id.clone()),
            source: Some(self.source),
            key: Some(id.clone()),
            topic: events::TOPIC.to_owned(),
            base: std::path::PathBuf::new(),
        };
        let record = prepare(&context.codec()?, event, unix_ms()).await?;
        let sent = send(&context.places().client_config(), &record).await?;
        let text = format!("{id} is published; `coafi event show {id}` says what becomes of it");
        let json = json!({"id": id, "topic": sent.topic, "partition": sent.partition, "offset": sent.offset});
        context.output().answer(&Answer { json, text, yes: true })
    }
}
