//! Other domains: how their messages are known to be theirs, and where they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::kafka::is_secret;
use super::section::Section;
use super::{SchemaRegistry, Secret};
use crate::connectors::federated::{Authentication, DomainKey, PublicKey, Validity};
use crate::connectors::tail::{OnLoss, Start};
use crate::kafka::properties::refusal;

#[derive(Clone, Debug, PartialEq)]
pub struct Federated {
    /// What this deployment is called in envelopes.
    pub audience: String,
    /// Of an envelope, from `iat` to `exp`.
    pub max_lifetime: Duration,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Of an envelope that is pushed.
    pub body_max_bytes: usize,
    pub domains: Vec<Domain>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    pub name: String,
    /// Any of them may have signed, each in its time.
    pub keys: Vec<DomainKey>,
    pub topics: Vec<String>,
    pub authentication: Authentication,
    /// Of the domain's cluster; `None`: ours, with our credentials.
    pub bootstrap_servers: Option<String>,
    /// Further librdkafka properties for that cluster.
    pub client: BTreeMap<String, Secret>,
    /// Of what it sends in Avro; `None`: ours.
    pub schema_registry: Option<SchemaRegistry>,
    pub start: Start,
    pub on_loss: OnLoss,
}

const NAME_ALLOWED: &str = "1 to 100 small letters, digits, '-', '_' and '.', such as aero";
const NAME_BYTES_MAX: usize = 100;
/// More domains than this in one configuration are an error.
const DOMAINS_MAX: usize = 100;
const KEYS_MAX: usize = 20;
const REGISTRY: &str = "schema_registry";
const TOPICS_MAX: usize = 100;
/// A record of `coafi.federated` has 1 MiB at most, headers and all.
const BODY_BYTES_MAX: u64 = 900 << 10;

/// Whether the server's certificate is looked at.
const VERIFICATION: &str = "enable.ssl.certificate.verification";
/// As librdkafka reads them.
const TRUE: [&str; 3] = ["true", "t", "1"];

impl Federated {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let (seconds, minutes) = (Duration::from_secs, |n: u64| Duration::from_secs(60 * n));
        let federated = Self {
            audience: section.text("audience", "coafi"),
            max_lifetime: section.duration("max_lifetime", minutes(5), seconds(1)..=minutes(24 * 60)),
            leeway: section.duration("leeway", seconds(30), Duration::ZERO..=minutes(5)),
            body_max_bytes: usize::try_from(section.size("body_max_bytes", 256 << 10, 1..=BODY_BYTES_MAX))
                .unwrap_or(usize::MAX),
            domains: section.sections("domains", "name", Domain::read),
        };
        let names = federated.domains.iter().map(|domain| domain.name.as_str());
        section.distinct("domains", names, "two domains have this name");
        if federated.domains.len() > DOMAINS_MAX {
            let message = format!("there are {}; allowed: at most {DOMAINS_MAX}", federated.domains.len());
            section.reject("domains", message);
        }
        federated
    }

    /// Whether any domain may push.
    #[must_use]
    pub fn takes_pushes(&self) -> bool {
        self.domains.iter().any(|domain| !domain.keys.is_empty())
    }

    /// Whether any domain has topics.
    #[must_use]
    pub fn has_topics(&self) -> bool {
        self.domains.iter().any(|domain| !domain.topics.is_empty())
    }
}

impl Domain {
    fn read(section: &mut Section<'_>) -> Self {
        let is_name = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
            (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
        };
        let domain = Self {
            name: section.named("name", NAME_ALLOWED, is_name),
            keys: section.sections("keys", "kid", key).into_iter().flatten().collect(),
            topics: section.texts("topics", &[]),
            authentication: section.choice(
                "authentication",
                &[("signature", Authentication::Signature), ("transport", Authentication::Transport)],
            ),
            bootstrap_servers: section.optional_text("bootstrap_servers"),
            client: section.properties("client", "client_files", refusal, is_secret),
            schema_registry: section
                .table
                .contains_key(REGISTRY)
                .then(|| section.section(REGISTRY, SchemaRegistry::of_others)),
            start: section.choice("start", &[("earliest", Start::Earliest), ("latest", Start::Latest)]),
            on_loss: section.choice("on_loss", &[("halt", OnLoss::Halt), ("continue", OnLoss::Continue)]),
        };
        domain.check(section);
        domain
    }

    fn check(&self, section: &mut Section<'_>) {
        let signs = self.authentication == Authentication::Signature;
        if self.keys.is_empty() && (self.topics.is_empty() || signs) {
            section.reject("keys", "is empty; allowed: at least one key, or topics with authentication: transport");
        }
        if self.keys.len() > KEYS_MAX {
            section.reject("keys", format!("there are {}; allowed: at most {KEYS_MAX}", self.keys.len()));
        }
        let kids: BTreeSet<&str> = self.keys.iter().map(|key| key.kid.as_str()).collect();
        if kids.len() < self.keys.len() {
            section.reject("keys", "two keys have one kid");
        }
        if self.topics.len() > TOPICS_MAX {
            section.reject("topics", format!("there are {}; allowed: at most {TOPICS_MAX}", self.topics.len()));
        }
        if self.topics.iter().collect::<BTreeSet<_>>().len() < self.topics.len() {
            section.reject("topics", "a topic is listed twice");
        }
        // What vouches must be there: a connection that anybody could make says nothing of who wrote.
        let ours = self.bootstrap_servers.is_none();
        let secured =
            self.client.get("security.protocol").is_some_and(|with| !with.expose().eq_ignore_ascii_case("plaintext"));
        if !signs && !self.topics.is_empty() && !ours && !secured {
            let message =
                "needs client with a security.protocol other than PLAINTEXT, or nothing vouches for the domain";
            section.reject("authentication", message);
        }
        let anybody =
            self.client.get(VERIFICATION).is_some_and(|is| !TRUE.contains(&&*is.expose().to_ascii_lowercase()));
        if !signs && !self.topics.is_empty() && anybody {
            section.reject("client", format!("{VERIFICATION} must be true, or nothing vouches for the domain"));
        }
        if ours && !self.client.is_empty() {
            section.reject("client", "is of bootstrap_servers, which is missing; for our cluster set kafka.client");
        }
    }
}

fn key(section: &mut Section<'_>) -> Option<DomainKey> {
    let kid = section.optional_text("kid");
    let file = section.optional_text("public_key_file");
    let text = section.optional_text("public_key");
    let validity = Validity { not_before: moment(section, "not_before"), not_after: moment(section, "not_after") };
    if kid.is_none() {
        section.reject("kid", "is missing; allowed: the name by which envelopes name the key");
    }
    if let (Some(from), Some(to)) = (validity.not_before, validity.not_after)
        && from >= to
    {
        section.reject("not_after", "must be after not_before");
    }
    let (name, text) = match (text, file) {
        (Some(text), None) => ("public_key", Ok(text)),
        (None, Some(file)) => ("public_key_file", std::fs::read_to_string(&file).map_err(|error| (file, error))),
        (Some(_), Some(_)) => {
            section.reject("public_key_file", "there is a public_key too; allowed: one of both");
            return None;
        }
        (None, None) => {
            section
                .reject("public_key", "is missing; allowed: what `coafi federated keygen` prints, or public_key_file");
            return None;
        }
    };
    let read = match text {
        Ok(text) => PublicKey::parse(&text).map_err(|bad| bad.to_string()),
        Err((file, error)) => Err(format!("file {file:?} cannot be read: {error}")),
    };
    match read {
        Ok(public) => Some(DomainKey { kid: kid?, public, validity }),
        Err(message) => {
            section.reject(name, message);
            None
        }
    }
}

fn moment(section: &mut Section<'_>, name: &'static str) -> Option<Timestamp> {
    let parse = |text: &str| text.parse::<Timestamp>().ok().map(Some);
    let show = |time: &Option<Timestamp>| time.map_or_else(String::new, |time| time.to_string());
    section.parsed(name, None, "a time such as 2026-01-31T12:00:00Z", parse, show)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::config::{Sources, load};
    use crate::connectors::federated::PrivateKey;

    fn federated(yaml: &str) -> Result<Federated, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.yaml");
        std::fs::write(&file, yaml).unwrap();
        let loaded = load(&Sources { file: Some(file), ..Sources::default() });
        let short =
            |line: &str| line.split_once("/c.yaml").map_or(line.to_owned(), |(_, rest)| format!("c.yaml{rest}"));
        let short = |text: String| text.lines().map(short).collect::<Vec<_>>().join("\n");
        loaded.map(|loaded| loaded.settings.federated).map_err(|error| short(error.to_string()))
    }

    #[test]
    fn every_key_of_a_domain_is_read() {
        let public = PrivateKey::generate().public().clone();
        let read = federated(&format!(
            "
federated:
  audience: gaia
  max_lifetime: 1m
  domains:
    - name: aero
      keys:
        - {{kid: aero-1, public_key: {}, not_before: 2026-01-01T00:00:00Z, not_after: 2027-01-01T00:00:00Z}}
      topics: [aero.events]
      bootstrap_servers: aero:9093
      client: {{security.protocol: SSL}}
      schema_registry: {{url: 'http://aero:8081'}}
      start: latest
      on_loss: continue
",
            public.text()
        ))
        .unwrap();
        let validity = Validity {
            not_before: "2026-01-01T00:00:00Z".parse().ok(),
            not_after: "2027-01-01T00:00:00Z".parse().ok(),
        };
        let [read_aero] = &*read.domains else { panic!("{:?}", read.domains) };
        let registry = read_aero.schema_registry.clone().unwrap();
        assert_eq!((registry.url.expose(), registry.auto_register), ("http://aero:8081/", false));
        let aero = Domain {
            name: "aero".to_owned(),
            keys: vec![DomainKey { kid: "aero-1".to_owned(), public, validity }],
            topics: vec!["aero.events".to_owned()],
            authentication: Authentication::Signature,
            bootstrap_servers: Some("aero:9093".to_owned()),
            client: [("security.protocol".to_owned(), Secret::new("SSL"))].into(),
            schema_registry: Some(registry),
            start: Start::Latest,
            on_loss: OnLoss::Continue,
        };
        assert_eq!((read.audience.as_str(), read.max_lifetime), ("gaia", Duration::from_secs(60)));
        assert_eq!(read.domains, [aero]);
    }

    #[test]
    fn what_nobody_vouches_for_is_refused() {
        let check = |yaml: &str, expected: Expect| {
            expected.assert_eq(&federated(&format!("federated: {{domains: [{yaml}]}}")).unwrap_err());
        };
        check(
            "{name: Aero}, {name: space, topics: [s]}, {name: x, keys: [{kid: k, public_key: AAAA}]}",
            expect![[r#"
                c.yaml: federated.domains[0].name: "Aero" is not allowed; allowed: 1 to 100 small letters, digits, '-', '_' and '.', such as aero
                c.yaml: federated.domains[0].keys: is empty; allowed: at least one key, or topics with authentication: transport
                c.yaml: federated.domains[1].keys: is empty; allowed: at least one key, or topics with authentication: transport
                c.yaml: federated.domains[2].keys[0].public_key: this is no Ed25519 public key; allowed: PEM (BEGIN PUBLIC KEY), or its 32 bytes in base64
                c.yaml: federated.domains[2].keys: is empty; allowed: at least one key, or topics with authentication: transport"#]],
        );
        check(
            "{name: a, topics: [t], authentication: transport, bootstrap_servers: 'h:1'}, \
             {name: b, topics: [t, t], authentication: transport, client: {security.protocol: SSL}}",
            expect![[r#"
                c.yaml: federated.domains[0].authentication: needs client with a security.protocol other than PLAINTEXT, or nothing vouches for the domain
                c.yaml: federated.domains[1].topics: a topic is listed twice
                c.yaml: federated.domains[1].client: is of bootstrap_servers, which is missing; for our cluster set kafka.client"#]],
        );
    }

    #[test]
    fn a_cluster_that_proves_nothing_vouches_for_nobody() {
        let domain = |verified: &str| {
            federated(&format!(
                "federated: {{domains: [{{name: a, topics: [t], authentication: transport, bootstrap_servers: 'h:1', \
                 client: {{security.protocol: SSL, enable.ssl.certificate.verification: {verified}}}}}]}}"
            ))
        };
        domain("true").unwrap();
        expect!["c.yaml: federated.domains[0].client: enable.ssl.certificate.verification must be true, or nothing vouches for the domain"]
            .assert_eq(&domain("false").unwrap_err());
    }

    #[test]
    fn the_examples_can_be_used() {
        for file in ["aero.yaml", "space.yaml"] {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/federated").join(file);
            let loaded = load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
            assert!(loaded.settings.federated.has_topics());
        }
    }

    #[test]
    fn a_replay_is_known_for_longer_than_an_envelope_is_valid() {
        let read = federated(
            "{federated: {max_lifetime: 1h, domains: [{name: a, topics: [t], authentication: transport}]}, api: {requests_retention: 1h}}",
        );
        assert!(read.unwrap_err().contains("api.requests_retention"));
    }
}
