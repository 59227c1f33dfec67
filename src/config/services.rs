//! What the process talks to besides Kafka, and what it says about itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use globset::Glob;

use super::section::Section;
use super::{Endpoint, Secret};

/// How many threads run handlers and I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    threads: usize,
}

impl Workers {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { threads: section.integer("threads", 0, 0..=1_024) }
    }

    /// The configured number; for 0 one per CPU, at least 2 (so that one blocked thread never stops everything).
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from).max(2),
            threads => threads,
        }
    }
}

/// A Confluent-compatible schema registry.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaRegistry {
    pub url: Endpoint,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Register missing schemas when something is produced, instead of failing.
    pub auto_register: bool,
    /// Of one request.
    pub timeout: Duration,
}

impl SchemaRegistry {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let registry = Self::of_others(section);
        Self { auto_register: section.boolean("auto_register", false), ..registry }
    }

    /// One in which nothing is registered.
    pub(super) fn of_others(section: &mut Section<'_>) -> Self {
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(60));
        Self {
            url: section.endpoint("url", "http://127.0.0.1:8081", &["http", "https"]),
            username: section.optional_text("username"),
            password: section.secret("password", "password_file"),
            auto_register: false,
            timeout: section.duration("timeout", Duration::from_secs(5), least..=most),
        }
    }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(86_400 * days)
}

/// Registry entries, the inbox, partition ownership.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    url: Endpoint,
    password: Option<Secret>,
    pub max_connections: u32,
    /// How long the results of handled events are kept, by which an event that comes again has no second effect.
    pub inbox_retention: Duration,
}

impl Database {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            url: section.endpoint(
                "url",
                "postgres://coafi@127.0.0.1:5432/coafi",
                &["postgres", "postgresql", "sqlite"],
            ),
            password: section.secret("password", "password_file"),
            max_connections: section.integer("max_connections", 10, 1..=1_000),
            inbox_retention: section.duration("inbox_retention", days(30), Duration::from_secs(3_600)..=days(3_650)),
        }
    }

    /// The URL with its password.
    #[must_use]
    pub fn url(&self) -> Endpoint {
        self.password.as_ref().map_or_else(|| self.url.clone(), |password| self.url.clone().with_password(password))
    }
}

/// `/health`, `/ready` and `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
    /// `/health` fails when the poll loop has not come round for this long.
    pub liveness_timeout: Duration,
    /// How long `/ready` waits for each dependency.
    pub probe_timeout: Duration,
}

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let (ms, seconds) = (Duration::from_millis, Duration::from_secs);
        let listen = SocketAddr::from(([0, 0, 0, 0], 8080));
        let allowed = "an address and port, such as 0.0.0.0:8080 or [::1]:8080";
        Self {
            listen: section.parsed("listen", listen, allowed, |t| t.parse().ok(), ToString::to_string),
            liveness_timeout: section.duration("liveness_timeout", seconds(30), ms(100)..=seconds(3_600)),
            probe_timeout: section.duration("probe_timeout", seconds(1), ms(10)..=seconds(60)),
        }
    }
}

/// Files whose path matches are validated against this JSON Schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonSchemaRule {
    /// A glob over paths within a repository, e.g. `config/**/*.yaml`.
    pub paths: String,
    /// The JSON Schema's file.
    pub schema: PathBuf,
}

impl JsonSchemaRule {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let glob = |t: &str| Glob::new(t).ok().map(|_| t.to_owned());
        let paths = section.parsed("paths", "**".to_owned(), "a glob, such as config/**/*.yaml", glob, Clone::clone);
        let schema = section.optional_text("schema");
        if schema.is_none() {
            section.reject("schema", "is missing; allowed: the path of a JSON Schema file");
        }
        Self { paths, schema: schema.unwrap_or_default().into() }
    }
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level or tracing directives, e.g. `info,coafi::kafka=debug`; `RUST_LOG` and `COAFI_LOG` go first.
    pub level: String,
    pub format: LogFormat,
    /// How much of an event's data the line about its failure shows, in bytes; 0 for none of it.
    pub payload_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let allowed = "error, warn, info, debug, trace, off, or directives such as info,coafi::kafka=debug";
        let directives = |t: &str| t.split(',').all(is_directive).then(|| t.to_owned());
        Self {
            level: section.parsed("level", "info".to_owned(), allowed, directives, Clone::clone),
            format: section.choice(
                "format",
                &[("auto", LogFormat::Auto), ("pretty", LogFormat::Pretty), ("json", LogFormat::Json)],
            ),
            payload_bytes: section.integer("payload_bytes", 512, 0..=16_384),
        }
    }
}

/// A level, or `target=level`. A word alone would be a target, which nobody means: `loud` would silence everything else.
fn is_directive(text: &str) -> bool {
    let level = text.split_once('=').map_or(text, |(_, level)| level);
    level.trim().parse::<tracing_subscriber::filter::LevelFilter>().is_ok()
        && text.parse::<tracing_subscriber::filter::Targets>().is_ok()
}
