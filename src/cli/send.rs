//! `coafi event send`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use super::{Context, Exit, Failure};
use crate::connectors::publish_event::{EventToSend, SendError, prepare, send};

/// Publish one event, made from JSON, as a connector would.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coafi event send --type git.commit --data commit.json\n  \
                        echo '{...}' | coafi event send --type git.commit --data - --output json")]
pub(super) struct Send {
    /// CloudEvents type, e.g. git.commit.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// JSON file with the event's data; - reads standard input.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// CloudEvents id; by default from the data, else random.
    #[arg(long)]
    id: Option<String>,
    /// CloudEvents source; by default from the data.
    #[arg(long)]
    source: Option<String>,
    /// The record's key; refused if it is not what the data says.
    #[arg(long)]
    key: Option<String>,
    /// By default the topic whose declaration names the type's schema.
    #[arg(long)]
    topic: Option<String>,
}

impl Send {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let data = read_json(&self.data)?;
        let codec = context.codec()?;
        let base = std::env::current_dir()?;
        let Self { event_type, id, source, key, topic, .. } = self;
        let event = EventToSend { event_type, data, id, source, key, topic, base };
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let record = prepare(&codec, event, i64::try_from(now_ms).unwrap_or(i64::MAX)).await?;
        let sent = send(&context.places().client_config(), &record).await?;
        let shown = json!({"id": sent.id, "source": sent.source, "topic": sent.topic, "partition": sent.partition,
                           "offset": sent.offset});
        context.output().show(&shown, |_| {
            format!("event {} is record {} of {}[{}]", sent.id, sent.offset, sent.topic, sent.partition)
        })?;
        Ok(Exit::Ok)
    }
}

fn read_json(path: &std::path::Path) -> Result<serde_json::Value, Failure> {
    let from_stdin = path.as_os_str() == "-";
    let text = if from_stdin { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let name = if from_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let text = text.map_err(|error| Failure::usage(format!("{name} cannot be read")).because(error))?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{name} is no JSON")).because(error))
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let message = error.to_string();
        match error {
            SendError::Type { .. } | SendError::Topic { .. } | SendError::Data { .. } | SendError::Key { .. } => {
                Self::usage(message)
            }
            SendError::Registry { .. } => {
                Self::unavailable(message).next("check schema_registry.url, and `coafi schemas register`")
            }
            SendError::Kafka { .. } => {
                Self::unavailable(message).next("check kafka.bootstrap_servers, and `coafi topics apply`")
            }
            SendError::Schema { .. } => Self::failed(message),
        }
    }
}
