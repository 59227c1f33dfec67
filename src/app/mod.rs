//! Wires the parts into roles: a consumer replica, the connectors, and all of them together in `coafi dev`.
//!
//! The only place that knows every module. It decides nothing: settings say what, the parts say how.

#![allow(clippy::disallowed_methods, reason = "edge: roles are started and awaited here")]

mod access;
mod api;
mod archive;
mod backing;
mod cluster;
mod consumer;
mod deciding;
mod dev;
mod due;
mod endpoints;
mod escalation;
mod git;
mod letters;
mod misconfigured;
mod notification_groups;
mod notifier;
mod observed;
mod places;
mod purge;
mod registries;
mod reload;
pub mod replay;
mod schedules;
mod status_reports;
mod tails;
mod tally;
mod topics;
mod waiting;
mod webhooks;
mod workflow_timers;
mod workflows;

pub use access::{Role, acls};
pub use api::{api, api_document, requests, spawn_api};
pub use backing::{Backing, json_schemas};
pub use cluster::ClusterError;
pub use consumer::{AUDIT_TOPIC, Consumer, ConsumerParts};
pub use deciding::{Decided, Decision, decide};
pub use dev::{Dev, DevOptions, Moment};
pub use git::{connector, lone_connector, repository_settings};
pub use letters::{
    NoDeadLetters, dead_letter_topics, holds_dead_letters, letters_cluster, source_of, sources, unprocessed_topic,
};
pub use misconfigured::Misconfigured;
pub use notifier::notifier;
pub use places::Places;
pub use registries::registry_rules;
pub use schedules::{schedule_connector, schedule_desk, schedule_settings};
pub use status_reports::STATUS_TOPIC;
pub use tails::{bitt_connector, domains, federated_connector, verifier};
pub use tally::{Ended, Tally};
pub use topics::{
    consumed, declarations, known, known_topics, named_routes, routes, routes_are_built_in, schemas, topic_of_type,
};
pub use webhooks::webhooks;
pub use workflows::{check_workflows, known_emitted, workflow_texts, workflows};

pub(crate) use dev::events;
