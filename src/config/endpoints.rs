//! Endpoints: HTTP servers that routes name as handlers (`http:NAME`) and workflows call.

use std::collections::BTreeMap;
use std::time::Duration;

use super::named::{NamedSecrets, is_plain_name};
use super::section::Section;
use super::values::{origin, plain};
use super::{Callee, Secret};
use crate::outgoing::Signer;

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    pub name: String,
    pub url: Callee,
    /// Each call is signed with all of them: while one is replaced there are two. Without any, calls are not signed.
    pub secrets: Vec<Secret>,
    /// Of one call, from its first byte to the answer's last one.
    pub timeout: Duration,
    pub answer_max_bytes: usize,
    /// Types that answers may have, and the topic of each.
    pub emits: BTreeMap<String, String>,
}

const SECRETS: &str = "endpoint_secrets";
const NAME_ALLOWED: &str = "small letters, digits, '-' and '_', such as enrich";
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Types of one endpoint.
const EMITS_MAX: usize = 100;

pub(super) fn read(section: &mut Section<'_>) -> Vec<HttpEndpoint> {
    let secrets = section.secrets_by_name(SECRETS);
    let endpoints = section.sections("endpoints", "name", |section| HttpEndpoint::read(section, &secrets));
    let names = || endpoints.iter().map(|endpoint| endpoint.name.as_str());
    section.distinct("endpoints", names(), "the endpoint is listed twice");
    section.owned(&secrets, names(), "no endpoint has this name; allowed: names of endpoints");
    endpoints
}

impl HttpEndpoint {
    fn read(section: &mut Section<'_>, by_name: &NamedSecrets) -> Self {
        let name = section.named("name", NAME_ALLOWED, is_plain_name);
        let url = section.callee("url", "calls are signed");
        let secrets = secrets(section, &name, by_name);
        let timeout = section.duration("timeout", Duration::from_secs(10), Duration::from_millis(1)..=TIMEOUT_MAX);
        let bytes = section.size("answer_max_bytes", 1 << 20, 1..=ANSWER_BYTES_MAX);
        Self {
            name,
            // What is missing is a problem, with which there are no settings.
            url: url.unwrap_or_else(Callee::nowhere),
            secrets,
            timeout,
            answer_max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            emits: emits(section),
        }
    }
}

/// Those of the file, and those of the environment.
fn secrets(section: &mut Section<'_>, name: &str, by_name: &NamedSecrets) -> Vec<Secret> {
    let (secrets, variable) = by_name.of(section, name);
    match (section.boolean("unsigned", false), secrets.is_empty()) {
        (false, true) => {
            let allowed = format!("a file with one secret a line, environment variable {variable}, or unsigned: true");
            section.reject("secret_file", format!("is missing; allowed: {allowed}"));
        }
        (true, false) => section.reject("unsigned", "there is a secret too; allowed: one of both"),
        _ => {}
    }
    // Not which: it may be nearly right.
    if let Err(bad) = Signer::new(secrets.iter().map(Secret::expose)) {
        section.reject("secret_file", format!("a secret of this file or of {variable} is not allowed: {bad}"));
    }
    secrets
}

fn emits(section: &mut Section<'_>) -> BTreeMap<String, String> {
    const KEY: &str = "emits";
    let Some(value) = section.find(KEY) else {
        section.note(KEY, "{}", "default".into());
        return BTreeMap::new();
    };
    let path = section.path_of(KEY);
    let origin = origin(&path, &value);
    let mut emits = BTreeMap::new();
    for (event_type, topic) in section.table_of(&path, value) {
        match plain(&topic.kind).filter(|topic| !topic.is_empty()) {
            Some(topic) => drop(emits.insert(event_type, topic)),
            None => section.reject(KEY, format!("{event_type} has no topic; allowed: TYPE: TOPIC")),
        }
    }
    if emits.len() > EMITS_MAX {
        section.reject(KEY, format!("there are {} types; allowed: {EMITS_MAX}", emits.len()));
    }
    let shown: Vec<String> = emits.iter().map(|(event_type, topic)| format!("{event_type}: {topic}")).collect();
    section.note(KEY, &format!("{{{}}}", shown.join(", ")), origin);
    emits
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::config::tests::{SECRET, check, loaded};

    const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn every_key_of_an_endpoint_is_read_and_no_secret_is_shown() {
        let yaml = "
endpoints:
  - name: en-rich
    url: https://enrich.example/events?code=hunter2
    secret_file: DIRECTORY/secret
    timeout: 2s
    answer_max_bytes: 64KiB
    emits: {Git.push: coafi.git}
  - {name: plain, url: 'http://10.0.0.1:8080', unsigned: true}
";
        let loaded = loaded(yaml, &[("COAFI__ENDPOINT_SECRETS__EN_RICH", OTHER)]).unwrap();
        let [enrich, plain] = &loaded.settings.endpoints[..] else { panic!("{:?}", loaded.settings.endpoints) };
        assert_eq!(enrich.url.expose().as_str(), "https://enrich.example/events?code=hunter2");
        assert!(enrich.secrets.iter().map(Secret::expose).eq([SECRET, OTHER]));
        assert_eq!((enrich.timeout, enrich.answer_max_bytes), (Duration::from_secs(2), 64 << 10));
        assert_eq!(enrich.emits, [("Git.push".to_owned(), "coafi.git".to_owned())].into());
        assert!(plain.secrets.is_empty() && plain.emits.is_empty());
        assert_eq!((plain.timeout, plain.answer_max_bytes), (Duration::from_secs(10), 1 << 20));
        let shown = format!("{:?} {:?}", loaded.settings, loaded.entries);
        assert!(!["hunter2", "whsec_"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    #[test]
    fn what_is_wrong_in_an_endpoint_is_named() {
        check(
            "endpoints: [a, {name: B, url: 'https://me:hunter2@host'}, {name: c, url: 'ftp://c', unsigned: true}]",
            &[],
            expect![[r#"
                c.yaml: endpoints[0].url: is missing; allowed: an http or https URL, such as https://enrich.example/events
                c.yaml: endpoints[0].secret_file: is missing; allowed: a file with one secret a line, environment variable COAFI__ENDPOINT_SECRETS__A, or unsigned: true
                c.yaml: endpoints[1].name: "B" is not allowed; allowed: small letters, digits, '-' and '_', such as enrich
                c.yaml: endpoints[1].url: a user does not belong in it: calls are signed; allowed: without
                c.yaml: endpoints[1].secret_file: is missing; allowed: a file with one secret a line, environment variable COAFI__ENDPOINT_SECRETS__<NAME>, or unsigned: true
                c.yaml: endpoints[2].url: "ftp://c" is not allowed; allowed: an http or https URL, such as https://enrich.example/events"#]],
        );
        check(
            "endpoints: [
              {name: a, url: 'http://a', secret_file: DIRECTORY/secret, unsigned: true, emits: {t: {}}},
              {name: a, url: 'http://a', timeout: 1h, secret: x}]",
            &[("COAFI__ENDPOINT_SECRETS__A", "hunter2"), ("COAFI__ENDPOINT_SECRETS__B", SECRET)],
            expect![[r#"
                c.yaml: endpoints[0].unsigned: there is a secret too; allowed: one of both
                c.yaml: endpoints[0].secret_file: a secret of this file or of COAFI__ENDPOINT_SECRETS__A is not allowed: a secret is not one of Standard Webhooks; allowed: whsec_ and at least 24 bytes in base64
                c.yaml: endpoints[0].emits: t has no topic; allowed: TYPE: TOPIC
                c.yaml: endpoints[1].secret_file: a secret of this file or of COAFI__ENDPOINT_SECRETS__A is not allowed: a secret is not one of Standard Webhooks; allowed: whsec_ and at least 24 bytes in base64
                c.yaml: endpoints[1].timeout: "1h" is not allowed; allowed: a duration from 1ms to 5m, such as 100ms, 10s or 1m
                c.yaml: endpoints[1].name: the endpoint is listed twice
                environment variable COAFI__ENDPOINT_SECRETS__B: endpoint_secrets.b: no endpoint has this name; allowed: names of endpoints
                c.yaml: endpoints[1].secret: unknown key (did you mean "secret_file"?); allowed here: name, url, secret_file, unsigned, timeout, answer_max_bytes, emits"#]],
        );
    }
}
