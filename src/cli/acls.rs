//! `coafi acls`.

use clap::Args;
use serde_json::json;

use super::{Answer, Context, Exit, Failure};
use crate::app::{self, Role};
use crate::kafka::acls;

/// What a role needs of Kafka and nothing more, as commands for Kafka's own tool.
///
/// Follows from the topics, the routes and the configuration that are in force here. Give every role a principal of its own; see
/// docs/security.md.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi acls consume
  coafi acls connect-git --principal User:CN=git-connector
  coafi acls consume --emits coafi.orders --bootstrap-server broker:9093 | sh

Exit codes: 0 written, 2 the configuration, a declaration or a route is wrong.")]
pub(super) struct Acls {
    role: Role,
    /// Who gets it; by default User:coafi-<ROLE>.
    #[arg(long, value_name = "TYPE:NAME", value_parser = principal)]
    principal: Option<String>,
    /// A topic that handlers of your own emit to; may be repeated. Those of workflows and endpoints are known.
    #[arg(long, value_name = "TOPIC")]
    emits: Vec<String>,
    /// What the commands connect to; by default kafka.bootstrap_servers.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,
}

fn principal(text: &str) -> Result<String, String> {
    let allowed = "allowed: a type and a name, such as User:coafi-consume";
    match text.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err(allowed.to_owned()),
    }
}

impl Acls {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings();
        let declarations = app::declarations(settings).map_err(anyhow::Error::new)?;
        let routes = app::routes(settings, &declarations)?;
        let acls = app::acls(self.role, settings, &declarations, &routes, &self.emits)?;
        let role = clap::ValueEnum::to_possible_value(&self.role).map(|value| value.get_name().to_owned());
        let role = role.unwrap_or_default();
        let principal = self.principal.unwrap_or_else(|| format!("User:coafi-{role}"));
        let servers = self.bootstrap_server.unwrap_or_else(|| settings.kafka.bootstrap_servers.clone());
        let line = |arguments: Vec<String>| {
            let quoted: Vec<String> = arguments.iter().map(|argument| word(argument)).collect();
            format!("kafka-acls --bootstrap-server {} {}", word(&servers), quoted.join(" "))
        };
        let lines: Vec<String> = acls::arguments(&acls, &principal).into_iter().map(line).collect();
        let json = json!({"role": role, "principal": principal, "acls": acls});
        context.output().answer(&Answer { json, text: lines.join("\n"), yes: true })
    }
}

/// As a shell takes it for one word.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
