//! The channels of a process: who is told, and the sending of one message.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;

use super::email::Smtp;
use super::render::Message;
use super::rule::{Pace, decide};
use super::{Channel, ChannelKind, Rule, Severity, TemplateError, Templates, post, render};
use crate::config::Secret;
use crate::outgoing::{Allowed, Client, Signer};
use crate::runtime::unix_ms;
use crate::schema::payloads::NotificationDelivery;

/// What a channel is called as a dependency, before its name: `notify:ops-chat`.
pub const NOTIFY: &str = "notify:";

/// What the configuration says.
#[derive(Clone, Debug, Default)]
pub struct NotifierParts {
    pub channels: Vec<Channel>,
    pub rules: Vec<Rule>,
    /// Of channels that a notification names itself.
    pub pace: Pace,
    /// What may be called besides public addresses and the channels' own hosts.
    pub allowed: Vec<Allowed>,
    /// Nobody can be asked to tell anybody: the topic is not declared.
    pub without_topic: bool,
}

/// Tells channels. One serves all.
#[derive(Debug)]
pub struct Notifier {
    channels: BTreeMap<String, (Channel, Transport)>,
    rules: Vec<Rule>,
    pace: Pace,
    templates: Templates,
    client: Client,
    without_topic: bool,
    silenced: bool,
}

#[derive(Debug)]
enum Transport {
    Http(Url),
    Signed(Url, Signer),
    Smtp(Smtp),
}

/// What a server said to what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub answer: String,
}

/// Why a message was not sent. No message shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Nobody is there: it waits, and is tried when somebody is.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Another attempt may go better.
    #[error("{message}")]
    Later { message: String, after: Option<Duration> },
    /// No attempt will.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// What keeps channels from being used.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    #[error("channel {name}: {message}")]
    Channel { name: String, message: String },
    #[error("HTTP cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

impl Notifier {
    /// # Errors
    /// A channel that cannot be used.
    pub fn new(parts: NotifierParts, templates: Templates) -> Result<Self, NotifierError> {
        let NotifierParts { channels, rules, pace, mut allowed, without_topic } = parts;
        let mut known = BTreeMap::new();
        for channel in channels {
            let transport = transport(&channel)?;
            if let Transport::Http(url) | Transport::Signed(url, _) = &transport {
                // Whoever configures a channel may say where it is; events cannot.
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
                allowed.extend(host.parse::<Allowed>().ok());
            }
            known.insert(channel.name.clone(), (channel, transport));
        }
        let client = Client::new(&allowed)?;
        Ok(Self { channels: known, rules, pace, templates, client, without_topic, silenced: false })
    }

    /// The same, which tells nobody: what is replayed in isolation has no effect elsewhere.
    #[must_use]
    pub fn silenced(self) -> Self {
        Self { silenced: true, ..self }
    }

    #[must_use]
    pub const fn is_silenced(&self) -> bool {
        self.silenced
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        let parts = NotifierParts::default();
        let templates = Templates::load(None).expect("the shipped templates parse, which a test holds");
        Self::new(parts, templates).expect("without channels there is only TLS to set up")
    }

    /// See [`NotifierParts::without_topic`].
    #[must_use]
    pub const fn is_without_topic(&self) -> bool {
        self.without_topic
    }

    /// In the order of their names.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values().map(|(channel, _)| channel)
    }

    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name).map(|(channel, _)| channel)
    }

    /// The channels by the rules.
    #[must_use]
    pub fn decide(&self, severity: Severity, source: &str) -> BTreeMap<&str, Pace> {
        decide(&self.rules, severity, source)
    }

    /// Of channels that a notification names itself.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    #[must_use]
    pub const fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Sends one message to the channel that its delivery names. `id` is the same when it is sent again.
    ///
    /// # Errors
    /// [`SendError`]; refused if there is no such channel.
    pub async fn send(&self, id: &str, delivery: &NotificationDelivery) -> Result<Sent, SendError> {
        if self.silenced {
            return Err(SendError::Refused("nobody is told here".to_owned()));
        }
        let message = &Message { id, delivery, now_ms: unix_ms() };
        let name = &delivery.channel;
        let Some((channel, transport)) = self.channels.get(name) else {
            return Err(SendError::Refused(format!("no channel {name:?} is configured")));
        };
        match (&channel.kind, transport) {
            (ChannelKind::Slack(_), Transport::Http(url)) => {
                post::slack(&self.client, url, &render::slack(&self.templates, message)?).await
            }
            (ChannelKind::Webhook(_), Transport::Signed(url, signer)) => {
                post::webhook(&self.client, url, signer, id, &render::webhook(message)).await
            }
            (ChannelKind::Alertmanager(to), _) => {
                let alerts = render::alerts(&self.templates, message, to.resolve_after)?;
                post::alertmanager(&self.client, to, &alerts).await
            }
            (ChannelKind::Email(email), Transport::Smtp(smtp)) => {
                smtp.send(render::email(&self.templates, message, email)?).await
            }
            (ChannelKind::Slack(_) | ChannelKind::Webhook(_) | ChannelKind::Email(_), _) => {
                unreachable!("a transport is made by its kind")
            }
        }
    }

    /// Whether the channel's server is there.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn answers(&self, name: &str) -> Result<(), String> {
        match self.channels.get(name) {
            None => Err(format!("no channel {name:?} is configured any more")),
            Some((_, Transport::Http(url) | Transport::Signed(url, _))) => post::answers(&self.client, url).await,
            Some((_, Transport::Smtp(smtp))) => smtp.answers().await,
        }
    }
}

fn transport(channel: &Channel) -> Result<Transport, NotifierError> {
    let wrong = |message: String| NotifierError::Channel { name: channel.name.clone(), message };
    Ok(match &channel.kind {
        // Not with the parser's words: they could show it.
        ChannelKind::Slack(url) => {
            Transport::Http(Url::parse(url.expose()).map_err(|_| wrong("its secret is no URL".to_owned()))?)
        }
        ChannelKind::Webhook(webhook) => {
            let signer = Signer::new(webhook.secrets.iter().map(Secret::expose));
            Transport::Signed(webhook.url.expose().clone(), signer.map_err(|error| wrong(error.to_string()))?)
        }
        ChannelKind::Alertmanager(alertmanager) => Transport::Http(alertmanager.url.expose().clone()),
        ChannelKind::Email(email) => Transport::Smtp(Smtp::new(email).map_err(|error| wrong(error.to_string()))?),
    })
}
