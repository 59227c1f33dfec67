//! `coafi event send`.

use clap::Args;
use serde_json::json;

use super::{Context, Exit, Failure};
use crate::app;
use crate::connectors::publish_event::{EventToSend, SendError, prepare, send, topic_of};
use crate::runtime::unix_ms;

/// Publish one event, made from JSON, as a connector would.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coafi event send --type git.commit --data @commit.json\n  \
                        echo '{...}' | coafi event send --type git.commit --data @- --output json\n  \
                        coafi event send --type git.push --data '{\"repository\": ...}'\n\n\
                        Exit codes: 0 published, 1 the registry refuses its schema, 2 the data or the command line is wrong,\n\
                        3 Kafka or the schema registry does not answer.")]
pub(super) struct Send {
    /// CloudEvents type, e.g. git.commit.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// The event's data as JSON: @FILE, @- for standard input, or the text itself.
    #[arg(long, value_name = "@FILE|@-|JSON")]
    data: String,
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
        let data = read_json("--data", &self.data)?;
        let codec = context.codec()?;
        let base = std::env::current_dir()?;
        let Self { event_type, id, source, key, topic, .. } = self;
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let topic = topic_of(&event_type, topic, codec.schemas(), &declarations)?;
        let event = EventToSend { event_type, data, id, source, key, topic, base };
        let record = prepare(&codec, event, unix_ms()).await?;
        let sent = send(&context.places().client_config(), &record).await?;
        let shown = json!({"id": sent.id, "source": sent.source, "topic": sent.topic, "partition": sent.partition,
                           "offset": sent.offset});
        context.output().show(&shown, |_| {
            format!("event {} is record {} of {}[{}]", sent.id, sent.offset, sent.topic, sent.partition)
        })?;
        Ok(Exit::Ok)
    }
}

/// Where `--data` says that the data is.
#[derive(Debug, PartialEq, Eq)]
enum Data<'a> {
    /// `@-` or `-`
    StandardInput,
    /// `@FILE`; without the `@` only if there is such a file.
    File(&'a str),
    Inline(&'a str),
}

impl<'a> Data<'a> {
    /// `None`: neither. `is_file` tells whether there is a file of that name.
    fn of(argument: &'a str, is_file: impl Fn(&str) -> bool) -> Option<Self> {
        match argument.strip_prefix('@') {
            _ if argument == "-" || argument == "@-" => Some(Self::StandardInput),
            Some(file) => Some(Self::File(file)),
            None if argument.trim_start().starts_with('{') => Some(Self::Inline(argument)),
            None => is_file(argument).then_some(Self::File(argument)),
        }
    }
}

/// What `option`, `--data` or its like, gives.
pub(super) fn read_json(option: &str, argument: &str) -> Result<serde_json::Value, Failure> {
    let data = Data::of(argument, |name| std::path::Path::new(name).exists()).ok_or_else(|| {
        Failure::usage(format!("{option} {argument:?} is neither a file nor a JSON object"))
            .next("give @FILE, @- for standard input, or JSON text that begins with {")
    })?;
    let (name, text) = match data {
        Data::StandardInput => ("standard input".to_owned(), std::io::read_to_string(std::io::stdin())),
        Data::File(file) => (format!("file {file:?}"), std::fs::read_to_string(file)),
        Data::Inline(text) => (option.to_owned(), Ok(text.to_owned())),
    };
    let text = text.map_err(|error| {
        Failure::usage(format!("{name} cannot be read"))
            .because(error)
            .next(format!("{option} takes @FILE, @- for standard input, or JSON text that begins with {{"))
    })?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{name} is no JSON")).because(error))
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let message = error.to_string();
        match error {
            SendError::Type { .. }
            | SendError::Internal { .. }
            | SendError::Topic { .. }
            | SendError::Data { .. }
            | SendError::Key { .. } => Self::usage(message),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_a_file_standard_input_or_the_text_itself() {
        let is_file = |name: &str| name == "commit.json" || name == "@odd";
        for (argument, expected) in [
            ("@commit.json", Some(Data::File("commit.json"))),
            ("commit.json", Some(Data::File("commit.json"))),
            ("@missing.json", Some(Data::File("missing.json"))),
            ("@@odd", Some(Data::File("@odd"))),
            ("@-", Some(Data::StandardInput)),
            ("-", Some(Data::StandardInput)),
            (" {\"a\": 1}", Some(Data::Inline(" {\"a\": 1}"))),
            ("missing.json", None),
            ("", None),
        ] {
            assert_eq!(Data::of(argument, is_file), expected, "{argument:?}");
        }
    }

    #[test]
    fn what_is_allowed_is_said() {
        for argument in ["missing.json", "@missing.json"] {
            let failure = read_json("--data", argument).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(format!("{failure:?}").contains("@- for standard input"), "{failure:?}");
        }
        assert_eq!(read_json("--data", "{\"a\": [1]}").unwrap(), json!({"a": [1]}));
        assert!(read_json("--data", "{").unwrap_err().to_string().starts_with("--data is no JSON"));
    }
}
