//! Webhooks: who may post to the API by signing what is posted.

use std::time::Duration;

use super::Secret;
use super::named::{NamedSecrets, is_plain_name};
use super::section::Section;
use crate::connectors::git::Credentials;
use crate::http::api::webhooks::{Algorithm, Encoding, Gitlab, Scheme, Standard, Template, Window};

/// One webhook, at `/webhooks/{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub name: String,
    /// Any of them may have signed: while one is replaced there are two.
    pub secrets: Vec<Secret>,
    pub body_max_bytes: usize,
    pub kind: WebhookKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// `repository`: the address under which it is watched, where that is not what payloads say.
    Github {
        repository: Option<String>,
    },
    Gitlab {
        repository: Option<String>,
        window: Window,
    },
    Standard {
        window: Window,
        event: WebhookEvent,
    },
    Hmac {
        scheme: Scheme,
        event: WebhookEvent,
    },
}

/// What deliveries become that are no pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    /// `api.request`, which has the delivery's body as it came, or a type whose data the body is.
    pub event_type: String,
    /// Else the one whose declaration names the type's schema.
    pub topic: Option<String>,
    /// Members of the body that make the event's key: deliveries that agree in them are handled in order. None: no order.
    pub key: Vec<String>,
}

const SECRETS: &str = "webhook_secrets";
/// A shorter one is guessed.
const SECRET_BYTES_MIN: usize = 16;
/// GitHub's own bound.
const PUSH_BYTES_MAX: u64 = 25 << 20;
/// A record of a source topic has 1 MiB at most, headers and all.
const EVENT_BYTES_MAX: u64 = 900 << 10;
const NAME_ALLOWED: &str = "small letters, digits, '-' and '_', such as github";

pub(super) fn read(section: &mut Section<'_>) -> Vec<Webhook> {
    let secrets = section.secrets_by_name(SECRETS);
    let webhooks = section.sections("webhooks", "name", |section| Webhook::read(section, &secrets));
    let names = || webhooks.iter().map(|webhook| webhook.name.as_str());
    section.distinct("webhooks", names(), "the webhook is listed twice");
    section.owned(&secrets, names(), "no webhook has this name; allowed: names of api.webhooks");
    webhooks
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Github,
    Gitlab,
    Standard,
    Hmac,
}

impl Kind {
    fn read(section: &mut Section<'_>) -> Self {
        let names =
            [("github", Self::Github), ("gitlab", Self::Gitlab), ("standard", Self::Standard), ("hmac", Self::Hmac)];
        if !section.table.contains_key("kind") {
            section.reject("kind", "is missing; allowed: github, gitlab, standard, hmac");
        }
        section.choice("kind", &names)
    }

    /// Why a secret can be none of this kind's.
    fn refuses(self, secret: &str) -> Option<String> {
        let anytime = Window(Duration::MAX);
        match self {
            Self::Standard => Standard::new([secret], anytime).err().map(|bad| bad.to_string()),
            Self::Gitlab if Gitlab::new([secret], anytime).is_err() => {
                Some("whsec_ is not followed by base64".to_owned())
            }
            _ if secret.len() < SECRET_BYTES_MIN => Some(format!("allowed: at least {SECRET_BYTES_MIN} bytes each")),
            _ => None,
        }
    }
}

impl Webhook {
    fn read(section: &mut Section<'_>, by_name: &NamedSecrets) -> Self {
        let name = section.named("name", NAME_ALLOWED, is_plain_name);
        let kind = Kind::read(section);
        let secrets = secrets(section, kind, &name, by_name);
        let (bytes, bytes_max) = match kind {
            Kind::Github | Kind::Gitlab => (2 << 20, PUSH_BYTES_MAX),
            Kind::Standard | Kind::Hmac => (256 << 10, EVENT_BYTES_MAX),
        };
        let body_max_bytes = section.size("body_max_bytes", bytes, 1..=bytes_max);
        let kind = match kind {
            Kind::Github => WebhookKind::Github { repository: repository(section) },
            Kind::Gitlab => WebhookKind::Gitlab { repository: repository(section), window: window(section) },
            Kind::Standard => WebhookKind::Standard { window: window(section), event: event(section) },
            Kind::Hmac => WebhookKind::Hmac { scheme: scheme(section), event: event(section) },
        };
        Self { name, secrets, body_max_bytes: usize::try_from(body_max_bytes).unwrap_or(usize::MAX), kind }
    }
}

/// It is only compared, so there is nothing that credentials would be for.
fn repository(section: &mut Section<'_>) -> Option<String> {
    let url = section.optional_text("repository");
    if url.as_deref().is_some_and(|url| Credentials::split(url).1.is_some()) {
        section.reject("repository", "a user or password does not belong in it; allowed: without");
    }
    url
}

/// Those of the file, and those of the environment.
fn secrets(section: &mut Section<'_>, kind: Kind, name: &str, by_name: &NamedSecrets) -> Vec<Secret> {
    let (secrets, variable) = by_name.of(section, name);
    if secrets.is_empty() {
        let allowed = format!("a file with one secret a line, or environment variable {variable}");
        section.reject("secret_file", format!("is missing; allowed: {allowed}"));
    }
    // Not which: it may be nearly right.
    if let Some(why) = secrets.iter().find_map(|secret| kind.refuses(secret.expose())) {
        section.reject("secret_file", format!("a secret of this file or of {variable} is not allowed: {why}"));
    }
    secrets
}

fn window(section: &mut Section<'_>) -> Window {
    Window(section.duration(
        "tolerance",
        Duration::from_secs(300),
        Duration::from_secs(1)..=Duration::from_secs(86_400),
    ))
}

fn event(section: &mut Section<'_>) -> WebhookEvent {
    WebhookEvent {
        event_type: section.text("type", "api.request"),
        topic: section.optional_text("topic"),
        key: section.texts("key", &[]),
    }
}

fn scheme(section: &mut Section<'_>) -> Scheme {
    let header = header(section, "header");
    if header.is_none() {
        section.reject("header", "is missing; allowed: the name of the header that has the signature");
    }
    let timestamp_header = self::header(section, "timestamp_header");
    let id_header = self::header(section, "id_header");
    let default = if timestamp_header.is_some() { "{timestamp}.{body}" } else { "{body}" };
    let default: Template = default.parse().expect("the default is a template");
    let allowed =
        "text with {body} once, and {timestamp} and {id} where they are signed, such as v0:{timestamp}:{body}";
    let signed = section.parsed("signed", default, allowed, |text| text.parse().ok(), ToString::to_string);
    if signed.has_timestamp() != timestamp_header.is_some() {
        section.reject(
            "signed",
            "a time that is not signed proves nothing; allowed: {timestamp} and timestamp_header, or neither",
        );
    }
    if signed.has_id() && id_header.is_none() {
        section.reject("signed", "has {id}; allowed: with id_header");
    }
    let timestamp = timestamp_header.map(|header| (header, window(section)));
    Scheme {
        header: header.unwrap_or_default(),
        prefix: section.optional_text("prefix").unwrap_or_default(),
        algorithm: section.choice(
            "algorithm",
            &[("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512), ("sha1", Algorithm::Sha1)],
        ),
        encoding: section.choice("encoding", &[("hex", Encoding::Hex), ("base64", Encoding::Base64)]),
        signed,
        timestamp,
        id_header,
    }
}

/// A header's name, in small letters.
fn header(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let parse = |text: &str| axum::http::HeaderName::try_from(text).ok().map(|name| Some(name.as_str().to_owned()));
    section
        .parsed(key, None, "the name of a header, such as X-Signature", parse, |name| name.clone().unwrap_or_default())
}
