//! Typed settings: defaults, then `coafi.yaml`, then `COAFI__SECTION__KEY`.
//!
//! A [`Settings`] that exists is valid: fields are read through [`section::Section`], which checks type and range, and
//! `load` fails with every problem at once, each naming the file or the environment variable, the key, the value and what
//! is allowed. Nothing here opens a connection or knows what a setting is for.
//!
//! Secrets come from the environment or from `…_file` keys, never from the configuration file itself, and are redacted
//! wherever settings are printed.
//!
//! Keeps I7 of `docs/invariants.md` in so far as no bound can be left out or set to nonsense.

mod api;
mod artifacts;
mod bitt;
mod credentials;
mod endpoints;
mod engine;
mod error;
mod federated;
mod findings;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod git;
mod kafka;
mod load;
mod named;
mod notifications;
mod outgoing;
mod overlay;
mod redaction;
mod registries;
mod schedules;
mod secret;
mod section;
mod services;
mod settings;
mod units;
mod values;
mod webhooks;

#[cfg(test)]
mod tests;

pub use api::{Api, ApiEndpoint, ApiKey, ApiLimits, ApiRate, Jwt, PERMISSION_ALLOWED, is_permission};
pub use artifacts::Artifacts;
pub use bitt::Bitt;
pub use endpoints::HttpEndpoint;
pub use engine::{Circuit, Engine};
pub use error::{ConfigError, Problem};
pub use federated::{Domain, Federated};
pub use findings::Entry;
pub use git::{Git, Repository, Start as GitStart};
pub(crate) use kafka::host_name;
pub use kafka::{Commit, Delivery, Kafka, Membership, Queues, Start};
pub use load::{CONFIG_VARIABLE, DEFAULT_FILE, Loaded, Sources, load};
pub use notifications::Notifications;
pub use outgoing::Outgoing;
pub use registries::{Registry, RegistryDependant};
pub use secret::{Callee, Endpoint, Secret};
pub use services::{Database, Http, JsonSchemaRule, Log, LogFormat, SchemaRegistry, Workers};
pub use settings::Settings;
pub use units::{WrittenDuration, format_duration, format_size, parse_duration, parse_size};
pub use webhooks::{Webhook, WebhookEvent, WebhookKind};
