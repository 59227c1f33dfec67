//! Who is told of what, and by which channels.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use reqwest::Url;

use super::Secret;
use super::named::{NamedSecrets, is_plain_name};
use super::section::Section;
use crate::dispatch::routes::Patterns;
use crate::engine::Class;
use crate::notify::{
    Alertmanager, Channel, ChannelKind, DeadLetterRule, Email, Pace, Rule, Severity, SmtpTls, Webhook,
};
use crate::outgoing::Signer;

/// Channels, rules and what they have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notifications {
    pub channels: Vec<Channel>,
    pub rules: Vec<Rule>,
    /// Dead letters that somebody is told of.
    pub dead_letters: Vec<DeadLetterRule>,
    /// Of channels that a notification names itself.
    pub pace: Pace,
    /// Templates besides those that are shipped, and instead of them.
    pub templates_dir: Option<PathBuf>,
}

const SECRETS: &str = "secrets";
const CHANNELS_MAX: usize = 100;
const RULES_MAX: usize = 200;
const RECIPIENTS_MAX: usize = 50;
const PASSWORD_ALLOWED: &str = "allowed: with a password, in secret_file or in the environment, or neither";
const NAME_ALLOWED: &str = "small letters, digits, '-' and '_', such as ops-chat";
const DEDUP_WINDOW: Duration = Duration::from_secs(3_600);
const DEDUP_WINDOW_MAX: Duration = Duration::from_secs(30 * 86_400);
const GROUP_WAIT: Duration = Duration::from_secs(30);
/// Longer than this nobody waits to be told.
const GROUP_WAIT_MAX: Duration = Duration::from_secs(3_600);
const RESOLVE_AFTER: Duration = Duration::from_secs(86_400);
const RESOLVE_AFTER_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);
/// For submission, with TLS from the first byte, and between servers.
const PORTS: [(SmtpTls, u16); 3] = [(SmtpTls::StartTls, 587), (SmtpTls::Implicit, 465), (SmtpTls::None, 25)];

impl Notifications {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let pace = pace(section, Pace { dedup_window: DEDUP_WINDOW, group_wait: GROUP_WAIT });
        let secrets = section.secrets_by_name(SECRETS);
        let channels: Vec<(String, Option<ChannelKind>, bool)> =
            section.sections("channels", "name", |section| channel(section, &secrets));
        let rules: Vec<Rule> = section.sections("rules", "severity", |section| rule(section, pace));
        let dead_letters = section.sections("dead_letters", "types", dead_letter_rule);
        let templates_dir = section.optional_text("templates_dir").map(PathBuf::from);
        let names: Vec<&str> = channels.iter().map(|(name, ..)| name.as_str()).collect();
        section.distinct("channels", names.iter().copied(), "two channels have this name");
        let message = "no channel has this name; allowed: names of notifications.channels";
        section.owned(&secrets, names.iter().copied(), message);
        for (index, rule) in rules.iter().enumerate() {
            let unknown = rule.channels.iter().find(|channel| !names.contains(&channel.as_str()));
            if let Some(unknown) = unknown {
                let known = names.join(", ");
                let message = format!("there is no channel {unknown:?}; allowed: {known}");
                section.reject(&format!("rules[{index}].channels"), message);
            }
        }
        for (key, count, most) in [("channels", channels.len(), CHANNELS_MAX), ("rules", rules.len(), RULES_MAX)] {
            if count > most {
                section.reject(key, format!("there are {count}; allowed: at most {most}"));
            }
        }
        let usable = channels.into_iter().filter(|(name, ..)| !name.is_empty());
        let channels = usable.filter_map(|(name, kind, direct)| Some(Channel { name, direct, kind: kind? }));
        Self { channels: channels.collect(), rules, dead_letters, pace, templates_dir }
    }
}

fn pace(section: &mut Section<'_>, default: Pace) -> Pace {
    Pace {
        dedup_window: section.duration("dedup_window", default.dedup_window, Duration::ZERO..=DEDUP_WINDOW_MAX),
        group_wait: section.duration("group_wait", default.group_wait, Duration::ZERO..=GROUP_WAIT_MAX),
    }
}

fn severity(section: &mut Section<'_>) -> Severity {
    let names = Severity::ALL.map(|severity| (severity.name(), severity));
    section.choice("severity", &names)
}

fn patterns(section: &mut Section<'_>, key: &'static str, default: &[&str]) -> Patterns {
    let globs = section.texts(key, default);
    Patterns::new(globs).unwrap_or_else(|(glob, why)| {
        section.reject(key, format!("{glob:?} is not allowed: {why}; allowed: globs, such as /coafi/*"));
        Patterns::any()
    })
}

fn rule(section: &mut Section<'_>, default: Pace) -> Rule {
    let rule = Rule {
        severity: severity(section),
        sources: patterns(section, "sources", &["*"]),
        channels: section.texts("channels", &[]),
        pace: pace(section, default),
    };
    if rule.channels.is_empty() {
        section.reject("channels", "is missing; allowed: names of channels");
    }
    rule
}

fn dead_letter_rule(section: &mut Section<'_>) -> DeadLetterRule {
    let rule = DeadLetterRule {
        types: patterns(section, "types", &["*"]),
        classes: section.texts("classes", &[]),
        severity: severity(section),
    };
    let known = Class::DEAD_LETTERED;
    if let Some(unknown) = rule.classes.iter().find(|class| !known.contains(&class.as_str())) {
        section.reject("classes", format!("{unknown:?} is not allowed; allowed: {}", known.join(", ")));
    }
    rule
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Slack,
    Webhook,
    Alertmanager,
    Email,
}

/// Its name, what it is if that can be told, and whether it is told directly.
fn channel(section: &mut Section<'_>, by_name: &NamedSecrets) -> (String, Option<ChannelKind>, bool) {
    let name = section.named("name", NAME_ALLOWED, is_plain_name);
    let kinds = [
        ("slack", Kind::Slack),
        ("webhook", Kind::Webhook),
        ("alertmanager", Kind::Alertmanager),
        ("email", Kind::Email),
    ];
    if !section.table.contains_key("kind") {
        section.reject("kind", "is missing; allowed: slack, webhook, alertmanager, email");
    }
    let kind = section.choice("kind", &kinds);
    let direct = section.boolean("direct", false);
    let (secrets, variable) = by_name.of(section, &name);
    if kind != Kind::Webhook && secrets.len() > 1 {
        section.reject("secret_file", format!("there are {}, with {variable}; allowed: one", secrets.len()));
    }
    let kind = kind_of(section, kind, secrets, &variable);
    (name, kind, direct)
}

fn kind_of(section: &mut Section<'_>, kind: Kind, mut secrets: Vec<Secret>, variable: &str) -> Option<ChannelKind> {
    Some(match kind {
        Kind::Slack => ChannelKind::Slack(slack(section, secrets, variable)?),
        Kind::Webhook => ChannelKind::Webhook(webhook(section, secrets, variable)?),
        Kind::Alertmanager => ChannelKind::Alertmanager(alertmanager(section, secrets.pop())?),
        Kind::Email => ChannelKind::Email(Box::new(email(section, secrets.pop())?)),
    })
}

fn alertmanager(section: &mut Section<'_>, password: Option<Secret>) -> Option<Alertmanager> {
    let url = section.callee("url", "it belongs in username and secret_file");
    let username = section.optional_text("username");
    if username.is_some() != password.is_some() {
        section.reject("username", PASSWORD_ALLOWED);
    }
    let resolve_after = section.duration("resolve_after", RESOLVE_AFTER, RESOLVE_AFTER_RANGE);
    Some(Alertmanager { url: url?, username, password, resolve_after })
}

fn slack(section: &mut Section<'_>, mut secrets: Vec<Secret>, variable: &str) -> Option<Secret> {
    let Some(secret) = secrets.pop() else {
        let allowed = format!("a file that has the webhook's URL, or environment variable {variable}");
        section.reject("secret_file", format!("is missing; allowed: {allowed}"));
        return None;
    };
    let is_web = |url: Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    if !Url::parse(secret.expose()).is_ok_and(is_web) {
        section.reject("secret_file", format!("what this file or {variable} has is no http or https URL"));
        return None;
    }
    Some(secret)
}

fn webhook(section: &mut Section<'_>, secrets: Vec<Secret>, variable: &str) -> Option<Webhook> {
    let url = section.callee("url", "messages are signed");
    if secrets.is_empty() {
        let allowed = format!("a file with one secret (whsec_…) a line, or environment variable {variable}");
        section.reject("secret_file", format!("is missing; allowed: {allowed}"));
        return None;
    }
    if let Err(bad) = Signer::new(secrets.iter().map(Secret::expose)) {
        section.reject("secret_file", format!("of this file or of {variable}: {bad}"));
        return None;
    }
    Some(Webhook { url: url?, secrets })
}

fn email(section: &mut Section<'_>, password: Option<Secret>) -> Option<Email> {
    let host = section.optional_text("host");
    if host.is_none() {
        section.reject("host", "is missing; allowed: the name of an SMTP server");
    }
    let names = [("starttls", SmtpTls::StartTls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
    let tls = section.choice("tls", &names);
    let port = PORTS.iter().find(|(of, _)| *of == tls).map_or(0, |(_, port)| *port);
    let port = section.integer("port", port, 1..=u16::MAX);
    let username = section.optional_text("username");
    if username.is_some() != password.is_some() {
        section.reject("username", PASSWORD_ALLOWED);
    } else if username.is_some() && tls == SmtpTls::None {
        section.reject("tls", "a password would be sent in the clear; allowed with a username: starttls, implicit");
    }
    let allowed = "an address, such as COAFI <coafi@example.org>";
    let from = section.optional_text("from");
    let from = mailbox(section, "from", from.as_deref(), allowed);
    let to = section.texts("to", &[]);
    if to.is_empty() || to.len() > RECIPIENTS_MAX {
        section.reject("to", format!("has {} addresses; allowed: 1 to {RECIPIENTS_MAX}", to.len()));
    }
    let to: Option<Vec<Mailbox>> = to.iter().map(|text| mailbox(section, "to", Some(text), allowed)).collect();
    Some(Email { host: host?, port, tls, username, password, from: from?, to: to? })
}

fn mailbox(section: &mut Section<'_>, key: &'static str, text: Option<&str>, allowed: &str) -> Option<Mailbox> {
    let Some(text) = text else {
        section.reject(key, format!("is missing; allowed: {allowed}"));
        return None;
    };
    let parsed = text.parse().ok();
    if parsed.is_none() {
        section.reject(key, format!("{text:?} is not allowed; allowed: {allowed}"));
    }
    parsed
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::config::tests::{check, loaded};

    const EVERY_KIND: &str = "
notifications:
  dedup_window: 10m
  channels:
    - {name: ops-chat, kind: slack, direct: true}
    - {name: hook, kind: webhook, url: 'https://example.org/hook?code=hunter2'}
    - {name: alerts, kind: alertmanager, url: 'http://alertmanager:9093/am', resolve_after: 2h}
    - name: mail
      kind: email
      host: smtp.example.org
      username: coafi
      from: COAFI <coafi@example.org>
      to: [ops@example.org, Ada <ada@example.org>]
  rules:
    - {severity: critical, channels: [ops-chat, mail], dedup_window: 1m}
    - {sources: [/git/*], channels: [hook], group_wait: 0s}
  dead_letters:
    - {types: [workflow.requested], severity: critical}
    - {classes: [invalid], severity: warning}
";
    const SECRETS: [(&str, &str); 3] = [
        ("COAFI__NOTIFICATIONS__SECRETS__OPS_CHAT", "https://hooks.example.org/T/B/hunter2"),
        ("COAFI__NOTIFICATIONS__SECRETS__HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("COAFI__NOTIFICATIONS__SECRETS__MAIL", "hunter2"),
    ];

    #[test]
    fn every_kind_of_channel_is_read_and_no_secret_is_shown() {
        let loaded = loaded(EVERY_KIND, &SECRETS).unwrap();
        let Notifications { channels, rules, dead_letters, .. } = &loaded.settings.notifications;
        let shown: Vec<String> =
            channels.iter().map(|c| format!("{} {} {} {}", c.name, c.kind_name(), c.direct, c.target())).collect();
        expect![[r#"
            [
                "ops-chat slack true hooks.example.org/***",
                "hook webhook false https://example.org/hook?***",
                "alerts alertmanager false http://alertmanager:9093/am",
                "mail email false ops@example.org, ada@example.org by smtp.example.org:587",
            ]
        "#]]
        .assert_debug_eq(&shown);
        let seconds = |pace: Pace| (pace.dedup_window.as_secs(), pace.group_wait.as_secs());
        assert_eq!(rules.iter().map(|rule| seconds(rule.pace)).collect::<Vec<_>>(), [(60, 30), (600, 0)]);
        assert_eq!((rules[0].severity, rules[1].severity), (Severity::Critical, Severity::Info));
        assert_eq!(dead_letters.len(), 2);
        let all = format!("{loaded:?}");
        assert!(!all.contains("hunter2") && !all.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{all}");
    }

    #[test]
    fn what_is_wrong_in_a_channel_or_rule_is_named() {
        check(
            "notifications: {channels: [{name: Chat, kind: slack}, {name: b}, {name: c, kind: webhook, url: 'ftp://x'}]}",
            &[],
            expect![[r#"
                c.yaml: notifications.channels[0].name: "Chat" is not allowed; allowed: small letters, digits, '-' and '_', such as ops-chat
                c.yaml: notifications.channels[0].secret_file: is missing; allowed: a file that has the webhook's URL, or environment variable COAFI__NOTIFICATIONS__SECRETS__<NAME>
                c.yaml: notifications.channels[1].kind: is missing; allowed: slack, webhook, alertmanager, email
                c.yaml: notifications.channels[1].secret_file: is missing; allowed: a file that has the webhook's URL, or environment variable COAFI__NOTIFICATIONS__SECRETS__B
                c.yaml: notifications.channels[2].url: "ftp://x" is not allowed; allowed: an http or https URL, such as https://enrich.example/events
                c.yaml: notifications.channels[2].secret_file: is missing; allowed: a file with one secret (whsec_…) a line, or environment variable COAFI__NOTIFICATIONS__SECRETS__C"#]],
        );
        check(
            "notifications: {channels: [{name: m, kind: email, tls: none, username: u, from: nobody, to: []}]}",
            &[("COAFI__NOTIFICATIONS__SECRETS__M", "x"), ("COAFI__NOTIFICATIONS__SECRETS__N", "x")],
            expect![[r#"
                c.yaml: notifications.channels[0].host: is missing; allowed: the name of an SMTP server
                c.yaml: notifications.channels[0].tls: a password would be sent in the clear; allowed with a username: starttls, implicit
                c.yaml: notifications.channels[0].from: "nobody" is not allowed; allowed: an address, such as COAFI <coafi@example.org>
                c.yaml: notifications.channels[0].to: has 0 addresses; allowed: 1 to 50
                environment variable COAFI__NOTIFICATIONS__SECRETS__N: notifications.secrets.n: no channel has this name; allowed: names of notifications.channels"#]],
        );
        check(
            "notifications: {channels: [{name: a, kind: slack}, {name: a, kind: alertmanager, url: 'http://u:p@x'}], \
             rules: [{channels: [b]}, {severity: bad}, {sources: ['[']}], dead_letters: [{classes: [sad]}]}",
            &[("COAFI__NOTIFICATIONS__SECRETS__A", "hunter2")],
            expect![[r#"
                c.yaml: notifications.channels[0].secret_file: what this file or COAFI__NOTIFICATIONS__SECRETS__A has is no http or https URL
                c.yaml: notifications.channels[1].url: a user does not belong in it: it belongs in username and secret_file; allowed: without
                c.yaml: notifications.channels[1].username: allowed: with a password, in secret_file or in the environment, or neither
                c.yaml: notifications.rules[1].severity: "bad" is not allowed; allowed: info, warning, critical
                c.yaml: notifications.rules[1].channels: is missing; allowed: names of channels
                c.yaml: notifications.rules[2].sources: "[" is not allowed: unclosed character class; missing ']'; allowed: globs, such as /coafi/*
                c.yaml: notifications.rules[2].channels: is missing; allowed: names of channels
                c.yaml: notifications.dead_letters[0].classes: "sad" is not allowed; allowed: poison, invalid, permanent, transient, panic, deadline, crash
                c.yaml: notifications.channels[1].name: two channels have this name
                c.yaml: notifications.rules[0].channels: there is no channel "b"; allowed: a, a"#]],
        );
    }
}
