//! The role `consume`: one replica of the group, with its dispatcher, its workers and its claims on the database.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::escalation::Escalation;
use super::notification_groups::NotificationGroups;
use super::observed::{Observed, Timers};
use super::reload::Reload;
use super::replay::Replaying;
use super::status_reports::{STATUS_TOPIC, StatusReports};
use super::waiting::Waiting;
use super::workflow_timers::WorkflowTimers;
use super::{Backing, Places, Tally, archive, cluster, due, purge, topics};
use crate::bitt::{Audit, Writer};
use crate::config::{self, Settings};
use crate::connectors::git::Repositories;
use crate::dispatch::replies::{self, RESULTS_TOPIC};
use crate::dispatch::{
    Dispatcher, DispatcherParts, DispatcherSettings, Failure, LetterNotices, NOTIFICATIONS_TOPIC, Report, Routing,
    Workers,
};
use crate::engine::{Class, Finished};
use crate::kafka::topics::Declaration;
use crate::kafka::{Config, Delivery, Inbox, Parts, Replica, Start, Status, StatusRecords, StoreClaims, Watch};
use crate::notify::DeadLetterRule;
use crate::runtime::{Clock, Hangup, Tasks};
use crate::schema::payloads::ApiReply;
use crate::schema::{Encoder, Payload as _};
use crate::telemetry::Metrics;

/// The topic of audit records.
pub const AUDIT_TOPIC: &str = "coafi.bitt.records";

/// What a consumer is made of.
pub struct ConsumerParts<'a> {
    pub settings: &'a Settings,
    pub places: &'a Places,
    pub backing: &'a Backing,
    pub group: String,
    pub slot: String,
    pub delivery: Delivery,
    /// Whether it says in `coafi.status` what it is doing.
    pub publishes_status: bool,
    /// Whether it runs workflows, if its routes say so.
    pub runs_workflows: bool,
    /// Counts what is committed, if somebody wants to know.
    pub tally: Option<Arc<Tally>>,
    /// Measures handlers, if somebody wants to know.
    pub metrics: Option<Arc<Metrics>>,
    /// Whether spans are exported.
    pub otel: bool,
    /// Whether this is a replay, and of what.
    pub replay: Option<Replaying>,
    /// Asks for a look at the routes file; without it the file is looked at each second only.
    pub hangup: Option<Hangup>,
}

/// A running replica.
#[derive(Debug)]
pub struct Consumer {
    replica: Replica<Observed>,
    workers: Workers,
    upkeep: Tasks,
    repositories: Arc<Repositories>,
}

impl Consumer {
    /// Starts a replica once the brokers and the schema registry answer and the topics that it writes to are there: they are
    /// waited for, until `stop`; then `None`.
    ///
    /// # Errors
    /// Routes, handlers or schemas that are wrong: waiting would not help.
    pub async fn start(parts: ConsumerParts<'_>, stop: &CancellationToken) -> anyhow::Result<Option<Self>> {
        let declarations = topics::declarations(parts.settings)?;
        let known = topics::known(parts.settings, &declarations)?;
        let file = parts.settings.routes_file.clone();
        let built_in = topics::routes_are_built_in(&file);
        let text = topics::routes_text(&file, built_in)?;
        let routes = topics::parse_routes(&file, &text, &known)?;
        let routes = if parts.runs_workflows { routes } else { routes.without("workflow") };
        let unprocessed = DispatcherSettings::default().unprocessed_topic;
        let replay = parts.replay.as_ref();
        let routes = Arc::new(if replay.is_some() { routes.in_place() } else { routes });
        let routing = Routing::build(Arc::clone(&routes), &parts.backing.services)?;
        let topics = replay.map_or_else(|| topics::consumed(&routes, &declarations), Replaying::topics);
        anyhow::ensure!(!topics.is_empty(), "no route takes events from a declared topic: there is nothing to consume");
        // A replay is about what was handled already; whoever waited has the reply.
        let replying = parts.replay.is_none() && declarations.iter().any(carries_replies);
        let mut shared = vec![&*unprocessed, AUDIT_TOPIC];
        shared.extend(replying.then_some(RESULTS_TOPIC));
        // What a replay dead-letters was dead-lettered before.
        let letter_rules = &parts.settings.notifications.dead_letters[..];
        let letter_rules = if replay.is_some() { &[] } else { letter_rules };
        shared.extend((!letter_rules.is_empty()).then_some(NOTIFICATIONS_TOPIC));
        let outputs = cluster::outputs(&topics, &shared);
        let Some(encoders) = wait_for_encoders(&parts, &outputs, replying, letter_rules, stop).await? else {
            return Ok(None);
        };

        let limits = topics::record_limits(&declarations, config_of(&parts, &[]).max_record_bytes);
        let clock = Clock::start();
        let inbox = Inbox::new();
        let results = inbox.results();
        let sink = Arc::new(move |finished: Vec<Finished<Report>>| {
            // After the replica's end nobody is interested in results.
            results.finished(finished);
        });
        let settings = DispatcherSettings {
            workers: parts.settings.workers.threads(),
            rate: replay.and_then(|replay| replay.rate),
            limits: limits.clone(),
            profile: parts.settings.dead_letter_headers,
            logged_payload_bytes: parts.settings.log.payload_bytes,
            redaction: Arc::new(parts.settings.redaction.clone()),
            replaying: replay.is_some(),
            otel: parts.otel,
            ..DispatcherSettings::default()
        };
        let in_force = watch::Sender::new(Arc::clone(&routing));
        // While the registry is known to answer; else it is asked again with every report.
        let encoder = parts.backing.services.codec.encoder(STATUS_TOPIC).await.ok();
        let reports = parts.publishes_status.then(|| StatusReports {
            codec: parts.backing.services.codec.clone(),
            runtime: Handle::current(),
            routes: in_force.subscribe(),
            clock,
            key: config_of(&parts, &[]).transactional_id(),
            group: parts.group.clone(),
            slot: parts.slot.clone(),
            encoder,
            said: false,
        });
        let lossy = topics::continue_after_loss(&routes, &topics);
        let timers = parts.metrics.clone().map(Timers::new);
        let dispatch = DispatcherParts {
            services: Arc::clone(&parts.backing.services),
            audit: Arc::new(encoders.audit),
            replies: encoders.replies,
            notices: encoders.notices,
            clock,
            results: sink,
        };
        let (dispatcher, workers) = Dispatcher::start(&settings, dispatch, &Handle::current());
        let passing = replay.map(|replay| Arc::clone(&replay.passing));
        let claims = StoreClaims { store: Arc::clone(&parts.backing.services.store), runtime: Handle::current() };
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut config = config_of(&parts, &names);
        config.continue_after_loss.clone_from(&lossy);
        config.not_deduplicated = topics::retries(&topics);
        config.max_record_bytes = u32::try_from(limits.largest()).unwrap_or(u32::MAX);
        let replica = Replica::start(Parts {
            config,
            application: Arc::new(Observed { dispatcher, tally: parts.tally.clone(), timers, replay: passing }),
            inbox,
            settings: parts.settings.engine(),
            policies: routing.policies(),
            routes: routing,
            clock,
            seed: seed(),
            claims: Some(Box::new(claims)),
            reports: reports.map(|reports| Box::new(reports) as Box<dyn StatusRecords>),
        })?;
        let repositories = Arc::clone(&parts.backing.services.repositories);
        let mut upkeep = Tasks::new(CancellationToken::new());
        let (store, retention) = (Arc::clone(&parts.backing.services.store), parts.settings.database.inbox_retention);
        upkeep.spawn("the inbox's purge", purge::inbox(Arc::clone(&store), retention, upkeep.stop()));
        // After that nothing would know a run's events any more.
        upkeep.spawn("the purge of runs", purge::workflow_runs(Arc::clone(&store), retention, upkeep.stop()));
        upkeep.spawn("the purge of what was said", purge::said(store, upkeep.stop()));
        let requests = &parts.backing.requests;
        upkeep.spawn("the index of words", purge::words(Arc::clone(requests), upkeep.stop()));
        let (artifacts, rules) = {
            let services = &parts.backing.services;
            (Arc::clone(&services.artifacts), Arc::clone(&services.registries))
        };
        let archiving = archive::old_versions(Arc::clone(requests), artifacts, rules, upkeep.stop());
        upkeep.spawn("the archive of old versions", archiving);
        let reload = Reload {
            file,
            built_in,
            text,
            known,
            declarations,
            subscribed: topics,
            continue_after_loss: lossy,
            services: Arc::clone(&parts.backing.services),
            in_force,
            rerouter: replica.rerouter(),
            metrics: parts.metrics,
        };
        // A replay is about the routes that it began with, and about what was recorded.
        if parts.replay.is_none() {
            let (services, group) = (&parts.backing.services, &parts.group);
            let timers = WorkflowTimers { services: Arc::clone(services), group: group.clone() };
            let timers = due::publish(timers, parts.places.client_config(), upkeep.stop());
            upkeep.spawn("the workflows' timers", timers);
            let waiting = NotificationGroups { services: Arc::clone(services), group: group.clone() };
            let waiting = due::publish(waiting, parts.places.client_config(), upkeep.stop());
            upkeep.spawn("the notifications that wait", waiting);
            // Without channels nobody could be told.
            if parts.backing.services.notifier.channels().next().is_some() {
                let escalation = Escalation {
                    services: Arc::clone(&parts.backing.services),
                    client: parts.places.client_config(),
                    group: parts.group.clone(),
                    watch: replica.watch(),
                    after: parts.settings.engine.circuit.escalate_after,
                };
                upkeep.spawn("the escalation", escalation.run(upkeep.stop()));
            }
            upkeep.spawn("the watch over the routes file", reload.run(parts.hangup, upkeep.stop()));
        }
        Ok(Some(Self { replica, workers, upkeep, repositories }))
    }

    /// Looks at the replica from elsewhere.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.replica.watch()
    }

    /// Runs until `stop`, then drains; or until it cannot go on.
    ///
    /// # Errors
    /// Why it could not go on, or not drain in time.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<Status> {
        let upkeep_stops = self.upkeep.stop();
        let upkeep = self.upkeep.join();
        tokio::pin!(upkeep);
        let ended = tokio::select! {
            ended = self.replica.ended() => ended,
            // Nobody has told it to stop.
            failed = &mut upkeep => {
                self.replica.request_shutdown();
                failed?;
                anyhow::bail!("the upkeep ended by itself");
            }
            error = self.workers.failed() => {
                self.replica.request_shutdown();
                return Err(error.into());
            }
            () = stop.cancelled() => {
                self.replica.request_shutdown();
                self.replica.ended().await
            }
        };
        self.workers.stop().await?;
        upkeep_stops.cancel();
        upkeep.await?;
        self.repositories.stop().await;
        Ok(ended?)
    }
}

/// Differs from process to process, so that replicas do not retry in step.
fn seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// Whether replies have a topic; a cluster without the API needs none.
fn carries_replies(declaration: &Declaration) -> bool {
    declaration.topic == RESULTS_TOPIC && declaration.schemas.iter().any(|file| file.record() == ApiReply::RECORD_NAME)
}

/// What writes records of ours.
struct Encoders {
    audit: Audit,
    replies: Option<Encoder<ApiReply>>,
    notices: Option<LetterNotices>,
}

/// The cluster's id and the ids of the schemas of audit records and, where there are any, of replies and notices, as soon as
/// they can be had and the cluster has what is written to.
async fn wait_for_encoders(
    parts: &ConsumerParts<'_>,
    outputs: &BTreeSet<String>,
    replying: bool,
    letter_rules: &[DeadLetterRule],
    stop: &CancellationToken,
) -> anyhow::Result<Option<Encoders>> {
    let mut waiting = Waiting::default();
    loop {
        let reason = match cluster::id(parts.places, outputs).await {
            Err(reason) => reason.to_string(),
            Ok(cluster_id) => {
                let writer = Writer {
                    cluster_id,
                    run: parts.settings.kafka.run.clone(),
                    group: parts.group.clone(),
                    worker_id: format!("{}-{}", parts.group, parts.slot),
                    topic: AUDIT_TOPIC.to_owned(),
                    ..Writer::default()
                };
                let codec = &parts.backing.services.codec;
                let encoders = async {
                    let audit = Audit::connect(writer, codec).await?;
                    let replies = if replying { Some(replies::encoder(codec).await?) } else { None };
                    let notices = LetterNotices::connect(letter_rules, codec).await?;
                    Ok::<_, Failure>(Encoders { audit, replies, notices })
                };
                match encoders.await {
                    Ok(encoders) => return Ok(Some(encoders)),
                    Err(failure) if matches!(failure.class, Class::Systemic(_)) => failure.to_string(),
                    Err(failure) => return Err(failure).context("audit records or replies cannot be written"),
                }
            }
        };
        if !waiting.for_another_attempt(reason, stop).await {
            return Ok(None);
        }
    }
}

fn config_of(parts: &ConsumerParts<'_>, topics: &[&str]) -> Config {
    let kafka = &parts.settings.kafka;
    let mut config = Config::new(&parts.places.bootstrap_servers, &parts.group, &parts.slot, topics);
    config.properties = parts.places.client.clone();
    config.delivery = parts.delivery;
    config.start = match kafka.start {
        config::Start::Earliest => Start::Earliest,
        config::Start::Latest => Start::Latest,
    };
    config.instance_id = kafka.instance_id(&parts.slot);
    // Another command has taken it over.
    config.yields = parts.replay.is_some();
    config.session_timeout = kafka.session_timeout;
    config.heartbeat_interval = kafka.heartbeat_interval;
    config.transaction_timeout = kafka.transaction_timeout;
    config.fetch_queue_bytes = kafka.queues.fetched_max_bytes;
    config.produce_queue_bytes = kafka.queues.producer_max_bytes;
    config
}
