//! What each role needs of Kafka, and nothing more: a principal of its own for each keeps what is taken over from one process
//! from what the others can do. `tests/ecosystem/acls.rs` runs every role with just this.

use std::collections::BTreeSet;

use super::consumer::AUDIT_TOPIC;
use super::letters::unprocessed_topic;
use super::status_reports::STATUS_TOPIC;
use super::workflows::workflows;
use super::{cluster, topics};
use crate::config::{Settings, Webhook, WebhookKind};
use crate::connectors::bitt::BITT_TOPIC;
use crate::connectors::federated::FEDERATED_TOPIC;
use crate::connectors::git::GIT_TOPIC;
use crate::connectors::schedule::{LEDGER_TOPIC, SCHEDULE_TOPIC};
use crate::connectors::{OFFSETS_TOPIC, WAKES_TOPIC};
use crate::dispatch::replies::RESULTS_TOPIC;
use crate::dispatch::{NOTIFICATIONS_TOPIC, Routes};
use crate::dlq::STATE_TOPIC;
use crate::handlers::workflow::events;
use crate::http::api::{API_TOPIC, INGEST_TOPIC};
use crate::kafka::acls::{Acl, Operation, Pattern, Resource, merged};
use crate::kafka::properties;
use crate::kafka::topics::Declaration;
use crate::workflow::Definition;

use Operation::{Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read, Write};

/// A process, or a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// `coafi consume`.
    Consume,
    /// `coafi connect git`.
    ConnectGit,
    /// `coafi connect schedule`, and `coafi schedule`.
    ConnectSchedule,
    /// `coafi connect bitt`.
    ConnectBitt,
    /// `coafi connect federated`, as far as our own cluster is concerned.
    ConnectFederated,
    /// `coafi api`.
    Api,
    /// Whoever looks at everything and changes nothing: `coafi group`, `event show`, `dlq list`, `topics plan`.
    Look,
    /// Whoever gets the group out of trouble: as look, and `coafi dlq redrive|purge`, `replay`, `event send`, `workflow`.
    Operate,
    /// `coafi topics apply`.
    Administer,
    /// Whoever proves afterwards what happened: reads the audit records and nothing else.
    Audit,
}

/// What the role needs in this deployment. `emits`: topics that handlers of its own write to; those of the configuration's endpoints
/// and workflows are known.
///
/// # Errors
/// Workflows that cannot be used.
pub fn acls(
    role: Role,
    settings: &Settings,
    declarations: &[Declaration],
    routes: &Routes,
    emits: &[String],
) -> anyhow::Result<Vec<Acl>> {
    let group = &settings.kafka.group_id;
    let readers = Acl { operations: vec![Describe], ..Acl::group(properties::READERS) };
    let own: Vec<Acl> = match role {
        Role::Consume => {
            let workflows = workflows(settings)?;
            let of_workflows = workflows.all().flat_map(Definition::emits).map(str::to_owned);
            let of_endpoints = settings.endpoints.iter().flat_map(|endpoint| endpoint.emits.values().cloned());
            let emits: Vec<String> = emits.iter().cloned().chain(of_workflows).chain(of_endpoints).collect();
            consume(group, declarations, routes, &emits).collect()
        }
        Role::ConnectGit => connect("git", "coafi.connect.git", &[GIT_TOPIC]).chain([reads(WAKES_TOPIC)]).collect(),
        Role::ConnectSchedule => {
            let topics = [SCHEDULE_TOPIC, LEDGER_TOPIC];
            connect("schedule", &shared_by("schedule", group), &topics).chain([reads(LEDGER_TOPIC)]).collect()
        }
        Role::ConnectBitt => {
            connect("bitt", &shared_by("bitt", group), &[BITT_TOPIC]).chain([reads(AUDIT_TOPIC)]).collect()
        }
        Role::ConnectFederated => connect("federated", &shared_by("federated", group), &[FEDERATED_TOPIC]).collect(),
        Role::Api => {
            let of_webhooks = settings.api.webhooks.iter().filter_map(|webhook| published_by(webhook, declarations));
            let written = [API_TOPIC, INGEST_TOPIC, WAKES_TOPIC, FEDERATED_TOPIC].into_iter().chain(of_webhooks);
            written.map(writes).chain([RESULTS_TOPIC, AUDIT_TOPIC].map(reads)).collect()
        }
        Role::Look => look(declarations).collect(),
        Role::Operate => look(declarations).chain(operate(group, declarations)).collect(),
        Role::Administer => administer(declarations).collect(),
        Role::Audit => vec![reads(AUDIT_TOPIC)],
    };
    Ok(merged(own.into_iter().chain([readers])))
}

/// The topic of a webhook whose deliveries become events.
fn published_by<'a>(webhook: &'a Webhook, declarations: &'a [Declaration]) -> Option<&'a str> {
    match &webhook.kind {
        WebhookKind::Standard { event, .. } | WebhookKind::Hmac { event, .. } => {
            event.topic.as_deref().or_else(|| topics::topic_of_type(declarations, &event.event_type))
        }
        WebhookKind::Github { .. } | WebhookKind::Gitlab { .. } => None,
    }
}

fn reads(topic: impl Into<String>) -> Acl {
    Acl::topic(topic, &[Read])
}

fn writes(topic: impl Into<String>) -> Acl {
    Acl::topic(topic, &[Write])
}

fn consume<'a>(
    group: &'a str,
    declarations: &'a [Declaration],
    routes: &Routes,
    emits: &'a [String],
) -> impl Iterator<Item = Acl> + 'a {
    let consumed = topics::consumed(routes, declarations);
    let unprocessed = unprocessed_topic();
    let shared = [&unprocessed, AUDIT_TOPIC, STATUS_TOPIC, RESULTS_TOPIC, events::TOPIC, NOTIFICATIONS_TOPIC];
    let outputs: BTreeSet<String> = cluster::outputs(&consumed, &shared);
    // Those that read beside it are called after it.
    let beside = Acl { operations: vec![Describe], ..Acl::group(format!("{group}.")) }.prefixed();
    let of_group = [Acl::group(group), beside, Acl::transactional_ids(format!("{group}/"))];
    consumed.into_iter().map(reads).chain(outputs.into_iter().chain(emits.iter().cloned()).map(writes)).chain(of_group)
}

/// The group of a deployment's connectors of one kind.
fn shared_by(connector: &str, group: &str) -> String {
    format!("coafi.connect.{connector}.{group}")
}

fn connect(connector: &str, group: &str, topics: &[&str]) -> impl Iterator<Item = Acl> {
    let own = [
        Acl::topic(OFFSETS_TOPIC, &[Read, Write]),
        Acl::group(group),
        Acl::transactional_ids(format!("coafi.connect.{connector}:")),
    ];
    topics.iter().map(|&topic| writes(topic)).chain(own).collect::<Vec<_>>().into_iter()
}

/// Every topic of the declarations, by name: another application's topics are not looked at.
fn all(declarations: &[Declaration]) -> impl Iterator<Item = String> + use<> {
    let all = crate::kafka::topics::topics(declarations, None);
    all.into_iter().map(|topic| topic.name)
}

fn look(declarations: &[Declaration]) -> impl Iterator<Item = Acl> + use<> {
    let every_group = Acl { operations: vec![Describe], ..Acl::group("*") };
    let cluster = Acl { resource: Resource::Cluster, pattern: Pattern::Literal, operations: vec![Describe] };
    all(declarations).map(|topic| Acl::topic(topic, &[Read, DescribeConfigs])).chain([every_group, cluster])
}

fn operate<'a>(group: &str, declarations: &'a [Declaration]) -> impl Iterator<Item = Acl> + use<'a> {
    // Of handled topics: what is sent again goes to them, and what is purged leaves their dead letters.
    let handled = declarations.iter().filter(|declaration| declaration.dead_letter.is_some());
    let again = handled.flat_map(|declaration| {
        all(std::slice::from_ref(declaration)).map(|topic| Acl::topic(topic, &[Write, Delete]))
    });
    let own = [
        Acl::topic(AUDIT_TOPIC, &[Write]),
        Acl::topic(STATE_TOPIC, &[Write]),
        Acl::topic(unprocessed_topic(), &[Delete]),
        // Its replays have groups of their own.
        Acl { operations: vec![Read, Delete], ..Acl::group(group) }.prefixed(),
        Acl::transactional_ids(group),
        Acl::transactional_ids("coafi.dlq/"),
    ];
    again.chain(own)
}

fn administer(declarations: &[Declaration]) -> impl Iterator<Item = Acl> + use<> {
    let operations = [Read, Create, Alter, AlterConfigs, DescribeConfigs];
    let every_group = Acl { operations: vec![Describe], ..Acl::group("*") };
    all(declarations).map(move |topic| Acl::topic(topic, &operations)).chain([every_group])
}
