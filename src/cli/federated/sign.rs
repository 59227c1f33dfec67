//! `coafi federated sign`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::{Context, Exit, Failure};
use crate::config::parse_duration;
use crate::connectors::federated::{Claims, Message, PrivateKey, sign};

/// Sign a message as a domain: prints its envelope.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi federated sign --key aero-1.pem --kid aero-1 --domain aero --type SystemUpdateNotification \\
    --subject telemetry --data '{\"system\": \"telemetry\", \"version\": \"2.1.0\"}' > envelope.jwt
  curl -H 'Content-Type: application/jwt' --data-binary @envelope.jwt http://localhost:8090/federated/aero

Exit codes: 0 signed, 1 the key cannot be read, 2 the command line is wrong.")]
pub(in crate::cli) struct Sign {
    /// The domain's private key, as `coafi federated keygen` writes it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How the receiver calls the key.
    #[arg(long, value_name = "KID")]
    kid: String,
    /// Who signs.
    #[arg(long, value_name = "NAME")]
    domain: String,
    /// Whom it is for; by default federated.audience.
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// How long it is valid.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    lifetime: Duration,
    /// The message's type.
    #[arg(long = "type", value_name = "TYPE")]
    message_type: String,
    /// The message's id; a new one by default.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// What it is about: messages about one subject are handled in order.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// What it says.
    #[arg(long, value_name = "JSON", value_parser = data)]
    data: Value,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let unusable = format!("{} cannot be used", self.key.display());
        let text = std::fs::read_to_string(&self.key).map_err(|error| Failure::failed(&unusable).because(error))?;
        let key = PrivateKey::parse(&text).map_err(|bad| Failure::failed(&unusable).because(bad))?;
        let issued = Timestamp::now();
        let id = self.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let mut event = json!({
            "specversion": "1.0", "id": id, "source": format!("/{}", self.domain), "type": self.message_type,
            "time": issued.to_string(), "datacontenttype": "application/json", "data": self.data,
        });
        if let Some(subject) = self.subject {
            event["subject"] = subject.into();
        }
        // What everybody would refuse is not signed.
        Message::structured(&event.to_string()).map_err(|refused| Failure::usage(refused.to_string()))?;
        let audience = self.audience.as_ref().unwrap_or(&context.settings().federated.audience);
        let claims = Claims { issuer: &self.domain, audience, issued, expires: issued + self.lifetime };
        let envelope =
            sign(&key, &self.kid, &claims, &event).map_err(|error| Failure::failed(unusable).because(error))?;
        let shown = json!({"id": event["id"], "envelope": envelope});
        context.output().show(&shown, |_| envelope.clone())?;
        Ok(Exit::Ok)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| !duration.is_zero()).ok_or_else(|| "allowed: 30s, 5m, 2h".to_owned())
}

fn data(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("allowed: JSON; {error}"))
}
