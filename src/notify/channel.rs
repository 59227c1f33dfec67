//! Where people and programs are told.

use std::time::Duration;

use lettre::message::Mailbox;
use reqwest::Url;

use crate::config::{Callee, Secret};

/// One channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Small letters, digits, `-` and `_`.
    pub name: String,
    /// Told without Kafka and the database, when one of them is what is down.
    pub direct: bool,
    pub kind: ChannelKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChannelKind {
    /// A Slack-compatible incoming webhook. Who knows its URL may post.
    Slack(Secret),
    Webhook(Webhook),
    Alertmanager(Alertmanager),
    Email(Box<Email>),
}

/// Takes JSON, signed by Standard Webhooks.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub url: Callee,
    /// `whsec_…`, each valid: while one is replaced there are two.
    pub secrets: Vec<Secret>,
}

/// Takes alerts by the API of its version 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanager {
    /// Without `/api/v2/alerts`.
    pub url: Callee,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// An alert that nobody resolves is over after this.
    pub resolve_after: Duration,
}

/// An SMTP server, and who writes to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// Plain at first; without TLS nothing is sent.
    StartTls,
    /// From the first byte.
    Implicit,
    None,
}

impl Channel {
    /// What its events say of it in their source, before its name.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            ChannelKind::Slack(_) => "slack",
            ChannelKind::Webhook(_) => "webhook",
            ChannelKind::Alertmanager(_) => "alertmanager",
            ChannelKind::Email(_) => "email",
        }
    }

    /// Where it leads, without what is secret.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.kind {
            ChannelKind::Slack(url) => {
                let host = Url::parse(url.expose()).ok().and_then(|url| Some(url.host_str()?.to_owned()));
                format!("{}/***", host.unwrap_or_default())
            }
            ChannelKind::Webhook(webhook) => webhook.url.to_string(),
            ChannelKind::Alertmanager(alertmanager) => alertmanager.url.to_string(),
            ChannelKind::Email(email) => {
                let to: Vec<String> = email.to.iter().map(|to| to.email.to_string()).collect();
                format!("{} by {}:{}", to.join(", "), email.host, email.port)
            }
        }
    }
}
